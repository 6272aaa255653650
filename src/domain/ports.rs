//! Published ports: which of them cannot be had at the same time, and which are free.

use std::collections::BTreeSet;
use std::net::IpAddr;

/// A port of a host that a container has or wants.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Binding {
    /// The port.
    pub port: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
    /// The address; `None` is every address of both families.
    pub ip: Option<IpAddr>,
}

impl Binding {
    /// Whether a host can give only one of the two: the same port of the same protocol, on an address they
    /// share.
    pub fn conflicts(&self, other: &Self) -> bool {
        self.port == other.port && self.protocol == other.protocol && share(self.ip, other.ip)
    }
}

/// `0.0.0.0` is every IPv4 address and `::` every IPv6 one: engines bind the families one by one.
fn share(one: Option<IpAddr>, other: Option<IpAddr>) -> bool {
    let (Some(one), Some(other)) = (one, other) else { return true };
    let (one, other) = (one.to_canonical(), other.to_canonical());
    one == other || (one.is_ipv4() == other.is_ipv4() && (one.is_unspecified() || other.is_unspecified()))
}

/// The positions of those that conflict with at least one other owner's.
pub fn in_conflict<O: PartialEq>(owned: &[(O, Binding)]) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    for (at, (owner, binding)) in owned.iter().enumerate() {
        for (later, (other, wanted)) in owned.iter().enumerate().skip(at + 1) {
            if owner != other && binding.conflicts(wanted) {
                found.extend([at, later]);
            }
        }
    }
    found
}

/// The first port from `start` on that is none of `taken`; below `start` when there is none above.
pub fn next_free(start: u16, taken: &BTreeSet<u16>) -> Option<u16> {
    let above = (start..=u16::MAX).find(|port| !taken.contains(port));
    // Below 1024 ports are a system's own.
    above.or_else(|| (1024..start).rev().find(|port| !taken.contains(port)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    fn ip() -> impl Strategy<Value = Option<IpAddr>> {
        prop_oneof![
            Just(None),
            Just(Some(IpAddr::from(Ipv4Addr::UNSPECIFIED))),
            Just(Some(IpAddr::from(Ipv6Addr::UNSPECIFIED))),
            (0_u8..4).prop_map(|last| Some(IpAddr::from([10, 0, 0, last]))),
            (0_u16..4).prop_map(|last| Some(IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, last]))),
            (0_u8..4).prop_map(|last| Some(IpAddr::from(Ipv4Addr::new(10, 0, 0, last).to_ipv6_mapped()))),
        ]
    }

    fn binding() -> impl Strategy<Value = Binding> {
        let protocol = prop_oneof![Just("tcp".to_owned()), Just("udp".to_owned())];
        (1_u16..4, protocol, ip()).prop_map(|(port, protocol, ip)| Binding { port, protocol, ip })
    }

    proptest! {
        #[test]
        fn a_conflict_is_one_for_both(one in binding(), other in binding()) {
            prop_assert_eq!(one.conflicts(&other), other.conflicts(&one));
            prop_assert!(one.conflicts(&one));
        }

        #[test]
        fn all_addresses_of_a_family_conflict_with_each_of_it(
            port in 1_u16.., four in any::<Ipv4Addr>(), six in any::<Ipv6Addr>(),
        ) {
            let at = |ip: IpAddr| Binding { port, protocol: "tcp".to_owned(), ip: Some(ip) };
            prop_assert!(at(Ipv4Addr::UNSPECIFIED.into()).conflicts(&at(four.into())));
            let mapped = six.to_ipv4_mapped().is_some();
            prop_assert_eq!(at(Ipv6Addr::UNSPECIFIED.into()).conflicts(&at(six.into())), !mapped);
            let every = Binding { ip: None, ..at(four.into()) };
            prop_assert!(every.conflicts(&at(four.into())) && every.conflicts(&at(six.into())));
        }

        #[test]
        fn protocols_and_ports_never_conflict_with_others(one in binding(), other in binding()) {
            let udp = Binding { protocol: "udp".to_owned(), ..one.clone() };
            let tcp = Binding { protocol: "tcp".to_owned(), ..other.clone() };
            prop_assert!(!udp.conflicts(&tcp));
            prop_assert!(one.port == other.port || !one.conflicts(&other));
        }

        #[test]
        fn who_is_in_conflict_is_so_with_somebody_else(owned in proptest::collection::vec((0_u8..3, binding()), 0..12)) {
            let found = in_conflict(&owned);
            for (at, (owner, binding)) in owned.iter().enumerate() {
                let others = owned.iter().any(|(other, wanted)| other != owner && wanted.conflicts(binding));
                prop_assert_eq!(found.contains(&at), others);
            }
        }

        #[test]
        fn a_free_port_is_free(start in 1_u16.., taken in proptest::collection::btree_set(1_u16.., 0..30)) {
            let free = next_free(start, &taken).unwrap();
            prop_assert!(!taken.contains(&free));
            prop_assert!(free >= start || (start..=u16::MAX).all(|port| taken.contains(&port)));
        }
    }
}
