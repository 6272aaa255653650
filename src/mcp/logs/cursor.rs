//! Where logs are read on from, as a text: for every container its name and the marks of its two streams.

use crate::domain::container::ContainerName;
use crate::domain::log::{Level, Mark, Open, Place};
use crate::mcp::error::{ErrorKind, ToolError};
use crate::mcp::page;
use jiff::Timestamp;

pub(super) fn write(containers: &[ContainerName], marks: &[[Mark; 2]]) -> String {
    let marked = containers.iter().zip(marks);
    let words = marked.flat_map(|(name, [out, err])| [name.to_string(), word(out), word(err)]);
    page::encode(&words.collect::<Vec<_>>())
}

/// The marks of these containers, which must be those that the cursor was given for, unless `new` is the mark of
/// others.
pub(super) fn read(
    cursor: &str,
    containers: &[ContainerName],
    new: Option<Mark>,
) -> Result<Vec<[Mark; 2]>, ToolError> {
    let foreign = || ToolError::new(ErrorKind::InvalidArguments, "cursor is not one of this tool's");
    let words = page::decode(cursor)?;
    let (rows, rest) = words.as_chunks::<3>();
    if !rest.is_empty() || rows.is_empty() {
        return Err(foreign());
    }
    let of = |container: &ContainerName| {
        let Some([_, out, err]) = rows.iter().find(|[name, ..]| name == container.as_str()) else {
            if let Some(new) = new {
                return Ok([new; 2]);
            }
            let message = format!("cursor is of another call: it knows no {container}");
            return Err(ToolError::new(ErrorKind::InvalidArguments, message)
                .with_hint("name the containers of the call that gave it"));
        };
        mark(out).zip(mark(err)).map(Into::into).ok_or_else(foreign)
    };
    containers.iter().map(of).collect()
}

/// Nanoseconds, lines at that time, and a letter each for the last entry's level, whether it was admitted, and
/// what it left open.
fn word(mark: &Mark) -> String {
    let level = match mark.level {
        None => '-',
        Some(Level::Debug) => 'd',
        Some(Level::Info) => 'i',
        Some(Level::Warn) => 'w',
        Some(Level::Error) => 'e',
    };
    let admitted = match mark.admitted {
        None => '-',
        Some(true) => 'y',
        Some(false) => 'n',
    };
    let open = match mark.open {
        Open::Nothing => '-',
        Open::Key => 'k',
        Open::Traceback => 't',
    };
    let Place { time, count } = mark.place;
    format!("{}:{count}:{level}{admitted}{open}", time.as_nanosecond())
}

fn mark(word: &str) -> Option<Mark> {
    let mut parts = word.split(':');
    let (time, count, state) = (parts.next()?, parts.next()?, parts.next()?);
    let time = Timestamp::from_nanosecond(time.parse().ok()?).ok()?;
    let mut state = state.chars();
    let level = match state.next()? {
        '-' => None,
        'd' => Some(Level::Debug),
        'i' => Some(Level::Info),
        'w' => Some(Level::Warn),
        'e' => Some(Level::Error),
        _ => return None,
    };
    let admitted = match state.next()? {
        '-' => None,
        'y' => Some(true),
        'n' => Some(false),
        _ => return None,
    };
    let open = match state.next()? {
        '-' => Open::Nothing,
        'k' => Open::Key,
        't' => Open::Traceback,
        _ => return None,
    };
    Some(Mark { place: Place { time, count: count.parse().ok()? }, level, admitted, open })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written_for_the_same_containers() {
        let names: Vec<ContainerName> = ["web", "db"].map(|name| name.parse().unwrap()).to_vec();
        let place = Place { time: Timestamp::from_nanosecond(1_700_000_000_123_456_789).unwrap(), count: 3 };
        let busy = Mark { place, level: Some(Level::Warn), admitted: Some(false), open: Open::Key };
        let fresh = Mark::before(Timestamp::UNIX_EPOCH);
        let marks = vec![[busy, fresh], [fresh, Mark { open: Open::Traceback, ..busy }]];
        let cursor = write(&names, &marks);
        assert_eq!(read(&cursor, &names, None).unwrap(), marks);
        // The order is the call's.
        let turned: Vec<ContainerName> = names.iter().rev().cloned().collect();
        assert_eq!(read(&cursor, &turned, None).unwrap(), [marks[1], marks[0]]);
        let other = ["web".parse().unwrap(), "cache".parse().unwrap()];
        let message = read(&cursor, &other, None).unwrap_err().message;
        assert!(message.contains("cache"), "{message}");
        for foreign in [page::encode(&["a".into()]), page::encode(&["web".into(), "1:x".into(), "2".into()])]
        {
            assert!(read(&foreign, &names[..1], None).is_err());
        }
    }
}
