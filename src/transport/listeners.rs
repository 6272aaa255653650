//! What listens on a host, as its kernel tells everybody who logs in.

use super::{Command, Link};
use crate::domain::fault::{Fault, FaultKind};
use crate::domain::ports::Binding;
use crate::runtime::container;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// A kernel that does not tell its sockets by then has too many.
const LIMIT: Duration = Duration::from_secs(3);

/// A socket's line has about 170 bytes.
const MOST_BYTES: usize = 512 << 10;

/// The states of a TCP socket that listens, and of a UDP one that is connected to nobody. A login inside a
/// container sees that one's sockets; its mounts tell.
const PATTERN: &str = " (0A|07) | /etc/hostname ";

const TABLES: [&str; 4] = ["/proc/net/tcp", "/proc/net/tcp6", "/proc/net/udp", "/proc/net/udp6"];
const MOUNTS: &str = "/proc/self/mountinfo";

/// The ports that are listened on, whoever does it.
pub async fn listeners(link: &dyn Link) -> Result<Vec<Binding>, Fault> {
    let words = ["grep", "-E", "-e", PATTERN].into_iter().chain(TABLES).chain([MOUNTS]);
    let command =
        Command { deadline: LIMIT, max_output: MOST_BYTES, ..Command::new(words.map(ToOwned::to_owned)) };
    let output = link.exec(&command).await?;
    let told = String::from_utf8_lossy(&output.stdout);
    // Without IPv6 there are two tables less, and grep says so by its status.
    let is_told = output.status == Some(1) || !told.is_empty();
    parse(&told).filter(|_| is_told).ok_or_else(|| {
        let words = String::from_utf8_lossy(&output.stderr);
        Fault::new(FaultKind::Internal, format!("the host does not tell what listens: {words}"))
    })
}

/// Reads lines of the tables, each behind the name of its file; `None` when they are a container's.
fn parse(text: &str) -> Option<Vec<Binding>> {
    let lines = || text.lines().filter_map(|line| line.split_once(':'));
    let mounts: Vec<&str> = lines().filter(|(file, _)| *file == MOUNTS).map(|(_, line)| line).collect();
    if container::of_mounts(&mounts.join("\n")).is_some() {
        return None;
    }
    let found: BTreeSet<Binding> = lines().filter_map(|(file, line)| listener(file, line)).collect();
    let every = |binding: &Binding| found.contains(&Binding { ip: None, ..binding.clone() });
    let zero = Some(IpAddr::from(Ipv4Addr::UNSPECIFIED));
    Some(found.iter().filter(|binding| binding.ip != zero || !every(binding)).cloned().collect())
}

/// The socket of a line, when it listens: its number, its address and port, the other end's, its state.
fn listener(file: &str, line: &str) -> Option<Binding> {
    let table = file.strip_prefix("/proc/net/")?;
    let protocol = table.trim_end_matches('6');
    let mut words = line.split_ascii_whitespace().skip(1);
    let (own, other, state) = (words.next()?, words.next()?, words.next()?);
    let listens = match protocol {
        "tcp" => state == "0A",
        "udp" => state == "07",
        _ => false,
    };
    let is_alone = other.bytes().all(|byte| matches!(byte, b'0' | b':'));
    let (ip, port) = own.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok().filter(|port| *port != 0)?;
    let ip = address(ip)?;
    // `::` takes both families, unless its program asks for one alone; that is not told.
    let ip = Some(ip).filter(|ip| *ip != IpAddr::from(Ipv6Addr::UNSPECIFIED));
    (listens && is_alone).then(|| Binding { port, protocol: protocol.to_owned(), ip })
}

/// An address as the kernel writes it: words of 32 bits, each as a little-endian machine holds it.
fn address(text: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(text.get(at..at + 8)?, 16).ok().map(u32::to_le_bytes);
    match text.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let mut bytes = [0; 16];
            for (index, part) in bytes.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(index * 8)?);
            }
            Some(IpAddr::from(Ipv6Addr::from(bytes)).to_canonical())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::process::ThisMachine;
    use proptest::prelude::*;
    use std::net::{TcpListener, UdpSocket};

    const TAIL: &str =
        "00000000:00000000 00:00000000 00000000     0        0 4242 1 0000000000000000 100 0 0 10 0";

    fn told(lines: &[&str]) -> Vec<String> {
        let text: Vec<String> = lines.iter().map(|line| format!("/proc/net/{line} {TAIL}")).collect();
        let found = parse(&text.join("\n")).unwrap();
        let ip = |binding: &Binding| binding.ip.map_or_else(|| "*".to_owned(), |ip| ip.to_string());
        found.iter().map(|binding| format!("{} {} {}", binding.port, binding.protocol, ip(binding))).collect()
    }

    #[test]
    fn what_listens_is_read_from_the_tables() {
        let nobody = "00000000:0000";
        let nobody6 = "00000000000000000000000000000000:0000";
        let every6 = "00000000000000000000000000000000";
        let found = told(&[
            &format!("tcp:   0: 00000000:0016 {nobody} 0A"),
            &format!("tcp:   1: 0100007F:0277 {nobody} 0A"),
            &format!("tcp: 112: 0B01510A:1F90 {nobody} 0A"),
            "tcp:   3: 0B01510A:0016 0101510A:D2F0 01",
            &format!("tcp6:   0: {every6}:0016 {nobody6} 0A"),
            &format!("tcp6:   1: 0000000000000000FFFF00000100007F:1F91 {nobody6} 0A"),
            &format!("tcp6:   2: B80D0120000000000000000001000000:0050 {nobody6} 0A"),
            &format!("udp:  77: 3500007F:0035 {nobody} 07"),
            &format!("udp:  78: 00000000:14E9 {nobody} 07"),
            "udp:  79: 0B01510A:9C40 08080808:0035 01",
            "udp:  80: 0B01510A:9C41 08080808:0035 07",
            &format!("udp:  81: 00000000:0000 {nobody} 07"),
            &format!("tcp:   5: 00000000:0017 {nobody} 07"),
            &format!("udp:  82: 00000000:0018 {nobody} 0A"),
        ]);
        let expected = [
            "22 tcp *",
            "53 udp 127.0.0.53",
            "80 tcp 2001:db8::1",
            "631 tcp 127.0.0.1",
            "5353 udp 0.0.0.0",
            "8080 tcp 10.81.1.11",
            "8081 tcp 127.0.0.1",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn inside_a_container_nothing_of_the_host_is_seen() {
        let id = "0123456789abcdef".repeat(4);
        let line = format!("tcp:   0: 00000000:0016 00000000:0000 0A {TAIL}");
        let mount = |root: &str| {
            format!("/proc/net/{line}\n{MOUNTS}:718 706 8:1 {root} /etc/hostname rw - ext4 /dev/sda1 rw")
        };
        assert_eq!(parse(&mount(&format!("/var/lib/docker/containers/{id}/hostname"))), None);
        assert_eq!(parse(&mount("/etc/hostname")).unwrap().len(), 1);
    }

    #[tokio::test]
    async fn what_listens_on_a_machine_is_told_until_it_goes() {
        let (tcp, udp) = (TcpListener::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("[::1]:0").unwrap());
        let (tcp_at, udp_at) = (tcp.local_addr().unwrap(), udp.local_addr().unwrap());
        let of = |protocol: &str, at: std::net::SocketAddr| Binding {
            port: at.port(),
            protocol: protocol.to_owned(),
            ip: Some(at.ip()),
        };
        let expected = [of("tcp", tcp_at), of("udp", udp_at)];
        let found = raw_listeners().await;
        assert!(expected.iter().all(|one| found.contains(one)), "{found:?}");
        drop((tcp, udp));
        let found = raw_listeners().await;
        assert!(!found.contains(&expected[0]), "{found:?}");
    }

    /// This machine's, also where that is a container.
    async fn raw_listeners() -> Vec<Binding> {
        let words = ["grep", "-E", "-e", PATTERN].into_iter().chain(TABLES);
        let output = ThisMachine.exec(&Command::new(words.map(ToOwned::to_owned))).await.unwrap();
        parse(&String::from_utf8_lossy(&output.stdout)).unwrap()
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in "(/proc/net/(tcp|udp)6?:[ 0-9A-F:é]{0,80}\n|.{0,40}\n){0,8}") {
            let _ = parse(&text);
        }
    }
}
