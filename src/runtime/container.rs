//! Whether this process runs in a container, and in which.

use std::path::Path;

/// An engine gives containers this many hexadecimal digits for an identifier.
const ID_LENGTH: usize = 64;

/// The full identifier of the container this process runs in, where an engine made one around it.
pub fn own() -> Option<String> {
    of_mounts(&std::fs::read_to_string(Path::new("/proc/self/mountinfo")).ok()?)
}

/// The same from the lines of `mountinfo`. Engines mount `/etc/hostname` and its kind from a directory of the
/// container's name: Docker from `…/containers/ID/hostname`, Podman from `…/overlay-containers/ID/userdata/hostname`.
pub fn of_mounts(mounts: &str) -> Option<String> {
    let of_line = |line: &str| {
        let mut fields = line.split(' ');
        // proc(5): the fourth field is the root of the mount within its file system, the fifth where it is seen.
        let (root, seen) = (fields.nth(3)?, fields.next()?);
        if !matches!(seen, "/etc/hostname" | "/etc/hosts" | "/etc/resolv.conf") {
            return None;
        }
        let is_id = |part: &str| part.len() == ID_LENGTH && part.bytes().all(|byte| byte.is_ascii_hexdigit());
        let parts: Vec<&str> = root.split('/').collect();
        let mut pairs = parts.windows(2);
        pairs.find_map(|pair| (pair[0].ends_with("containers") && is_id(pair[1])).then(|| pair[1].to_owned()))
    };
    mounts.lines().find_map(of_line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_known_by_its_mounts() {
        let id = "0123456789abcdef".repeat(4);
        let line =
            |root: &str, seen: &str| format!("718 706 8:1 {root} {seen} rw,relatime - ext4 /dev/sda1 rw");
        let docker = line(&format!("/var/lib/docker/containers/{id}/hostname"), "/etc/hostname");
        let podman =
            line(&format!("/containers/storage/overlay-containers/{id}/userdata/hosts"), "/etc/hosts");
        assert_eq!(of_mounts(&docker), Some(id.clone()));
        assert_eq!(of_mounts(&format!("{}\n{podman}", line("/", "/"))), Some(id.clone()));
        // Where another container's directory is mounted, that one is not this.
        assert_eq!(of_mounts(&line(&format!("/var/lib/docker/containers/{id}"), "/data")), None);
        assert_eq!(of_mounts(&line("/etc/hostname", "/etc/hostname")), None);
    }
}
