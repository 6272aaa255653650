//! Docker contexts: names, and whether two endpoints are one.

/// Whether two endpoints as Docker writes them lead to the same place: `:22` is ssh's port anyway, and
/// hostnames are the same in any case.
pub fn same_endpoint(a: &str, b: &str) -> bool {
    let normal = |url: &str| match url.strip_prefix("ssh://") {
        Some(rest) => {
            let rest = rest.trim_end_matches('/');
            let (user, place) = rest.rsplit_once('@').map_or(("", rest), |(user, place)| (user, place));
            let place = place.strip_suffix(":22").unwrap_or(place).to_lowercase();
            format!("ssh://{user}@{place}")
        }
        None => url.to_owned(),
    };
    normal(a) == normal(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s3_endpoints_are_compared_by_what_they_mean() {
        assert!(same_endpoint("ssh://ops@NAS.lan:22", "ssh://ops@nas.lan"));
        assert!(same_endpoint("ssh://nas/", "ssh://nas"));
        for other in ["ssh://ops@nas", "ssh://nas:2201", "unix:///nas", "ssh://nas2"] {
            assert!(!same_endpoint(other, "ssh://nas"), "{other}");
        }
    }
}
