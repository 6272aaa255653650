//! A tripwire for tests: an actor that is told to panics when it next handles a message of a kind.
//! Each test has a thread, and with it a wire, of its own.

use std::cell::Cell;

thread_local! {
    static WIRE: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// Makes the next handling of a message of this kind panic, such as `HostMessage::Ensure`.
pub(crate) fn set(kind: &'static str) {
    WIRE.set(Some(kind));
}

/// Whether the wire has been tripped over since it was set.
pub(crate) fn is_tripped() -> bool {
    WIRE.get().is_none()
}

/// Where an actor begins to handle a message.
pub(super) fn over<'a, M>(message: &'a M)
where
    &'static str: From<&'a M>,
{
    let kind = <&'static str>::from(message);
    named(std::any::type_name::<M>().rsplit("::").next().unwrap_or_default(), kind);
}

/// The same for what is no message, such as a step of a task.
pub(super) fn named(protocol: &str, kind: &str) {
    if WIRE.get().is_some_and(|wire| wire.split_once("::") == Some((protocol, kind))) {
        WIRE.set(None);
        // Without the report of a panic: with a backtrace each costs a tenth of a second.
        std::panic::resume_unwind(Box::new(format!("tripped over {protocol}::{kind}")));
    }
}
