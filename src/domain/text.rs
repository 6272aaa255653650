//! Making foreign text safe to show: logs, labels, ssh's words, file contents.

/// Strips terminal escape sequences and control characters; keeps line feeds and tabs.
///
/// A carriage return before a line feed goes; a lone one becomes a line feed, so that nothing a
/// container prints can overwrite what stands before it.
pub fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => skip_escape(&mut chars),
            '\r' if chars.peek() == Some(&'\n') => {}
            '\r' => out.push('\n'),
            '\n' | '\t' => out.push(c),
            c if is_odd(c) => {}
            c => out.push(c),
        }
    }
    out
}

/// Whether it is a control character, or one that turns the order of what is shown around.
pub fn is_odd(char: char) -> bool {
    char.is_control() || is_bidi_control(char)
}

/// Skips the rest of an ECMA-48 escape sequence: CSI to its final byte, OSC and the other strings
/// to their terminator, anything else one character.
fn skip_escape(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match chars.next() {
        Some('[') => {
            while let Some(c) = chars.next_if(|c| *c != '\n') {
                if ('\u{40}'..='\u{7e}').contains(&c) {
                    break;
                }
            }
        }
        Some(']' | 'P' | 'X' | '^' | '_') => {
            while let Some(c) = chars.next_if(|c| *c != '\n') {
                if c == '\u{7}' {
                    break;
                }
                if c == '\u{1b}' {
                    chars.next_if_eq(&'\\');
                    break;
                }
            }
        }
        _ => {}
    }
}

/// Characters that reorder what a reader sees (Unicode bidirectional controls).
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Cuts `text` after `max` bytes at a character boundary; says whether something was cut.
pub fn cut(text: &str, max: usize) -> (&str, bool) {
    if text.len() <= max {
        return (text, false);
    }
    let end = (0..=max).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    (&text[..end], true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escapes_and_controls_vanish_and_text_stays() {
        assert_eq!(clean("\u{1b}[31mred\u{1b}[0m\tx\r\ny\u{8}"), "red\tx\ny");
        assert_eq!(clean("\u{1b}]0;title\u{7}after\u{1b}]8;;u\u{1b}\\link"), "afterlink");
        assert_eq!(clean("progress 1\rprogress 2"), "progress 1\nprogress 2");
        assert_eq!(clean("safe\u{202e}txt.exe"), "safetxt.exe");
        assert_eq!(clean("grüße 漢字 🙂"), "grüße 漢字 🙂");
    }

    proptest! {
        #[test]
        fn no_control_character_survives(text in ".*") {
            let cleaned = clean(&text);
            prop_assert!(cleaned.chars().all(|c| !c.is_control() || c == '\n' || c == '\t'));
            prop_assert_eq!(clean(&cleaned), cleaned.clone());
        }

        #[test]
        fn a_cut_is_a_prefix_within_the_limit(text in ".*", max in 0_usize..64) {
            let (kept, was_cut) = cut(&text, max);
            prop_assert!(text.starts_with(kept) && kept.len() <= max);
            prop_assert_eq!(was_cut, kept.len() < text.len());
        }
    }
}
