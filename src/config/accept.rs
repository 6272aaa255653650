//! Whether what was just read is to be believed.
//!
//! A file caught between truncation and writing is valid YAML and names fewer hosts, or none. Hosts
//! are therefore taken away only when two readings a second apart agree, and never all at once
//! without an order.

use crate::domain::host::{HostId, HostSpec};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Hosts by id.
pub type Hosts = BTreeMap<HostId, Arc<HostSpec>>;

/// What to do with a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Take it.
    Take,
    /// Read once more in a second.
    ReadAgain,
    /// Keep the last good one until somebody confirms.
    Refuse,
}

/// Judges `read` against the `current` hosts and the reading `before` that was to be confirmed.
pub fn judge(current: &Hosts, before: Option<&Hosts>, read: &Hosts) -> Verdict {
    // The engine of this machine stands in for hosts that nobody has named yet.
    let named = |hosts: &Hosts| hosts.keys().any(|id| id.as_str() != HostSpec::LOCAL);
    let loses = current.keys().any(|id| !read.contains_key(id));
    if !loses || !named(current) {
        return Verdict::Take;
    }
    if !current.keys().any(|id| read.contains_key(id)) {
        return Verdict::Refuse;
    }
    if before == Some(read) { Verdict::Take } else { Verdict::ReadAgain }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::host::Endpoint;

    fn hosts(ids: &[&str]) -> Hosts {
        let spec = |id: &str| HostSpec::new(id.parse().unwrap(), Endpoint::Unix("/x".into()));
        ids.iter().map(|id| (id.parse().unwrap(), Arc::new(spec(id)))).collect()
    }

    #[test]
    fn s10_hosts_go_only_when_two_readings_agree_and_never_all_at_once() {
        let current = hosts(&["a", "b"]);
        assert_eq!(judge(&current, None, &hosts(&["a", "b", "c"])), Verdict::Take);
        assert_eq!(judge(&current, None, &hosts(&["a"])), Verdict::ReadAgain);
        assert_eq!(judge(&current, Some(&hosts(&["a"])), &hosts(&["a"])), Verdict::Take);
        assert_eq!(judge(&current, Some(&hosts(&["b"])), &hosts(&["a"])), Verdict::ReadAgain);
        for gone in [&[][..], &["local"], &["other"]] {
            assert_eq!(judge(&current, Some(&hosts(gone)), &hosts(gone)), Verdict::Refuse, "{gone:?}");
        }
        assert_eq!(judge(&hosts(&["local"]), None, &hosts(&["a"])), Verdict::Take);
    }
}
