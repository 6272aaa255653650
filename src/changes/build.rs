//! Building an image, by the host's own `docker build`: it knows `.dockerignore`, Git and the builder's dialect.

use super::Hands;
use crate::domain::build::BuildSpec;
use crate::domain::change::Made;
use crate::domain::fault::FaultKind;
use crate::engine::EngineError;
use crate::transport::{Command, Source as Stream};
use std::collections::VecDeque;
use std::time::Duration;

/// Of what a build says, the last bytes are kept.
const TAIL: usize = 2 << 10;

/// A shell that does not find a program ends so.
const NOT_FOUND: i32 = 127;

/// Builds the image; returns its identifier and the last lines that the build said.
pub(super) async fn build(hands: &Hands<'_>, spec: &BuildSpec, limit: Duration) -> Result<Made, EngineError> {
    let link = hands.means.link();
    let stdin = spec.script(&link.route().socket).into_bytes();
    let command = Command { stdin, deadline: limit, max_output: TAIL, ..Command::new(["sh", "-s"]) };
    let mut tail = Tail::default();
    let ended = link.stream(&command, &mut |_: Stream, bytes| tail.take(bytes)).await;
    let status = ended.map_err(|fault| match fault.kind {
        // Over the next line it would be no better.
        FaultKind::NoShell | FaultKind::Deadline => EngineError::Unfit(fault.to_string()),
        _ => EngineError::Link(fault),
    })?;
    let told = tail.text();
    match status {
        Some(0) => {}
        Some(NOT_FOUND) => {
            let words = format!("the login has no docker command on the host, which builds it: {told}");
            return Err(EngineError::Unfit(words));
        }
        Some(code) => return Err(EngineError::Unfit(format!("docker build ended with {code}: {told}"))),
        None => return Err(EngineError::Unfit(format!("docker build was killed: {told}"))),
    }
    let name = spec.tags.first().ok_or_else(|| EngineError::Unfit("it was to have no name".to_owned()))?;
    let id = hands.engine.image_id(name).await?;
    let id = id.ok_or_else(|| EngineError::Unfit(format!("docker build made no {name}: {told}")))?;
    Ok(Made { id: Some(id), log: Some(told).filter(|told| !told.is_empty()), ..Made::default() })
}

/// The last bytes of something long.
#[derive(Default)]
struct Tail(VecDeque<u8>);

impl Tail {
    fn take(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
        let over = self.0.len().saturating_sub(TAIL);
        self.0.drain(..over);
    }

    /// As text: what was cut begins with a whole line, or with a whole word where there is but one line. The end of
    /// a secret would not be known for what it is.
    fn text(&self) -> String {
        let bytes: Vec<u8> = self.0.iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        let whole = if bytes.len() < TAIL {
            &*text
        } else {
            let line = text.trim_end().split_once('\n');
            line.or_else(|| text.split_once(char::is_whitespace)).map_or("", |(_, rest)| rest)
        };
        whole.trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_kept_in_whole_lines() {
        let mut tail = Tail::default();
        for number in 0..1000 {
            tail.take(format!("line {number}\n").as_bytes());
        }
        let text = tail.text();
        assert!(text.len() <= TAIL && text.starts_with("line ") && text.ends_with("\nline 999"), "{text}");
        let mut short = Tail::default();
        short.take(b"only this\n");
        assert_eq!(short.text(), "only this");
        let mut long = Tail::default();
        long.take(format!("first {}\n", "secret word ".repeat(TAIL)).as_bytes());
        assert!(
            long.text().starts_with("word secret") || long.text().starts_with("secret word"),
            "{}",
            long.text()
        );
        let mut one = Tail::default();
        one.take("secret".repeat(TAIL).as_bytes());
        assert_eq!(one.text(), "", "nothing of a word that was cut");
    }
}
