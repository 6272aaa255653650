//! Edits of generated files: exactly the named field changes, and exactly its lines.

use super::*;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

/// How a file is written.
#[expect(clippy::struct_excessive_bools, reason = "habits of people, in any mixture")]
#[derive(Debug, Clone)]
struct Style {
    indent: usize,
    flow_hosts: bool,
    comments: bool,
    blank_lines: bool,
    crlf: bool,
    sections_after: bool,
    ends_with_newline: bool,
}

fn styles() -> impl Strategy<Value = Style> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (select(vec![2usize, 4, 3]), flags).prop_map(|(indent, (flow, comments, blank, crlf, after, end))| {
        Style {
            indent,
            flow_hosts: flow,
            comments,
            blank_lines: blank,
            crlf,
            sections_after: after,
            ends_with_newline: end,
        }
    })
}

/// A value as people write it in a file.
fn written() -> impl Strategy<Value = &'static str> {
    select(vec![
        "nas.lan",
        "\"quoted: colon\"",
        "'it''s # no comment'",
        "plain words",
        "[home, media]",
        "[\"a, b\", 'c']",
        "22",
        "true",
        "|\n  block # text\n  more",
        ">-\n  folded\n  text",
        "~/.ssh/key",
        "\u{fc}ber \u{1f433}",
        "",
    ])
}

type Written = Vec<(String, Vec<(&'static str, &'static str)>)>;

/// Hosts with their keys as written; `hostname` is always there.
fn hosts() -> impl Strategy<Value = Written> {
    let keys = vec!["user", "description", "tags", "port", "compose_path", "x-note"];
    let host = subsequence(keys, 0..=6).prop_flat_map(|keys| {
        let values = proptest::collection::vec(written(), keys.len());
        values.prop_map(move |values| keys.iter().copied().zip(values).collect::<Vec<_>>())
    });
    proptest::collection::vec(host, 1..5).prop_map(|hosts| {
        let name = |at: usize| ["nas", "pi.lan", "\"1\"", "edge_2", "z-9"][at].to_owned();
        let with_hostname = |host: Vec<_>| [vec![("hostname", "h.lan")], host].concat();
        hosts.into_iter().enumerate().map(|(at, host)| (name(at), with_hostname(host))).collect()
    })
}

/// The file's text.
fn text(hosts: &Written, style: &Style) -> String {
    let mut out = String::from("# top of the file\n\nserver: {port: 8000} # the service\n");
    let (step, note) = (" ".repeat(style.indent), if style.comments { " # note" } else { "" });
    if style.flow_hosts {
        let host = |(id, keys): &(String, Vec<(&str, &str)>)| {
            let flow = keys.iter().filter(|(_, value)| !value.contains('\n') && !value.is_empty());
            let pairs: Vec<String> = flow.map(|(key, value)| format!("{key}: {value}")).collect();
            format!("{id}: {{{}}}", pairs.join(", "))
        };
        out.push_str(&format!(
            "hosts: {{{}}}{note}\n",
            hosts.iter().map(host).collect::<Vec<_>>().join(", ")
        ));
    } else {
        out.push_str("hosts:\n");
        for (id, keys) in hosts {
            if style.comments {
                out.push_str(&format!("{step}# about {id}\n"));
            }
            out.push_str(&format!("{step}{id}:\n"));
            for (key, value) in keys {
                let note = if value.contains('\n') || value.is_empty() { "" } else { note };
                let value = value.replace('\n', &format!("\n{step}{step}"));
                out.push_str(&format!("{step}{step}{key}: {value}{note}\n"));
            }
            if style.comments {
                out.push_str(&format!("{step}{step}# end of {id}\n"));
            }
            if style.blank_lines {
                out.push('\n');
            }
        }
    }
    if style.sections_after {
        out.push_str("# after\ntransfer:\n  method: ssh\n# the end\n");
    }
    // The last line of a block is another value without its line feed.
    let end = out.trim_end();
    if !style.ends_with_newline && !end.ends_with("  more") && !end.ends_with("  text") {
        out.truncate(end.len());
    }
    if style.crlf { out.replace('\n', "\r\n") } else { out }
}

fn new_values() -> impl Strategy<Value = FieldValue> {
    let texts = prop_oneof![
        "[ -~]{0,20}",
        select(vec![
            "yes",
            "null",
            "5",
            "1e3",
            "a: b",
            "x # y",
            "",
            " lead",
            "tail ",
            "\u{e4}\u{1f600}",
            "- a",
            "*x",
            "'",
            "\"",
            "\\",
            "~",
            "@a",
            "%b",
            "2020-01-01",
            "0x1f",
            "1_000",
            "(:?"
        ])
        .prop_map(ToOwned::to_owned),
    ];
    prop_oneof![
        texts.clone().prop_map(FieldValue::Text),
        (1..=u16::MAX).prop_map(FieldValue::Number),
        any::<bool>().prop_map(FieldValue::Flag),
        proptest::collection::vec(texts, 0..4).prop_map(FieldValue::List),
    ]
}

fn fields() -> impl Strategy<Value = Fields> {
    let key = select(host_keys().to_vec()).prop_map(HostKey);
    proptest::collection::btree_map(key, proptest::option::weighted(0.8, new_values()), 1..4)
}

/// The file as the rest of the program reads it.
fn read(text: &str) -> serde_yaml::Value {
    serde_yaml::from_str(text).unwrap_or_else(|error| panic!("{error} in:\n{text}"))
}

fn lines(text: &str) -> Vec<&str> {
    text.lines().collect()
}

/// How many lines at the start and at the end are the same.
fn unchanged<'a>(before: &[&'a str], after: &[&'a str]) -> (usize, usize) {
    let head = before.iter().zip(after).take_while(|(a, b)| a == b).count();
    let room = before.len().min(after.len()) - head;
    let tail = before.iter().rev().zip(after.iter().rev()).take(room).take_while(|(a, b)| a == b).count();
    (head, tail)
}

fn comments(text: &str) -> Vec<&str> {
    text.lines().filter(|line| line.trim_start().starts_with('#')).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_update_changes_the_named_fields_and_no_line_elsewhere(
        (hosts, style) in (hosts(), styles()), at in any::<prop::sample::Index>(), fields in fields(),
    ) {
        let before = text(&hosts, &style);
        let name = at.get(&hosts).0.trim_matches('"').to_owned();
        let id: HostId = name.parse().unwrap();
        let after = apply(&before, &HostEdit::Update { id, fields: fields.clone() })
            .unwrap_or_else(|error| panic!("{error}: {fields:?} of {name} in\n{before}"));
        let mut wanted = read(&before);
        let host = wanted["hosts"][name.as_str()].as_mapping_mut().unwrap();
        for (key, value) in &fields {
            match value {
                Some(value) => drop(host.insert(key.as_str().into(), value.into())),
                None => drop(host.remove(key.as_str())),
            }
        }
        prop_assert_eq!(read(&after), wanted, "{}", after);
        let (old, new) = (lines(&before), lines(&after));
        let (head, tail) = unchanged(&old, &new);
        let quoted = if hosts.iter().any(|(id, _)| *id == format!("\"{name}\"")) { format!("\"{name}\":") } else { format!("{name}:") };
        let start = old.iter().position(|line| line.trim_start().starts_with(&quoted)).unwrap_or(0);
        if !style.flow_hosts && before != after {
            // A host that loses its last key becomes `{}` behind its name.
            prop_assert!(head >= start, "a line above {} changed:\n{}\n--- became\n{}", name, before, after);
            let own = old[start + 1..].iter().take_while(|line| line.trim().is_empty() || line.starts_with(&" ".repeat(style.indent + 1))).count();
            prop_assert!(old.len() - tail <= start + 1 + own, "a line below {} changed:\n{}\n--- became\n{}", name, before, after);
        }
        prop_assert_eq!(comments(&before), comments(&after));
        prop_assert_eq!(before.contains("\r\n"), after.contains("\r\n"));
    }

    #[test]
    fn an_added_host_is_lines_that_are_put_in_and_nothing_else(
        (hosts, style) in (hosts(), styles()), mut fields in fields(),
    ) {
        let before = text(&hosts, &style);
        fields.insert(HostKey::HOSTNAME, Some(FieldValue::Text("h".into())));
        let id: HostId = "new-1".parse().unwrap();
        let after = apply(&before, &HostEdit::Add { id, fields: fields.clone() }).unwrap();
        let mut wanted = read(&before);
        let host = fields.iter().filter_map(|(key, value)| Some((key.as_str().into(), value.as_ref()?.into())));
        let hosts = wanted["hosts"].as_mapping_mut().unwrap();
        hosts.insert("new-1".into(), serde_yaml::Value::Mapping(host.collect()));
        let same = read(&after) == wanted;
        prop_assert!(same, "{}", after);
        let (old, new) = (lines(&before), lines(&after));
        let (head, tail) = unchanged(&old, &new);
        if !style.flow_hosts {
            prop_assert_eq!(head + tail, old.len(), "a line changed:\n{}\n--- became\n{}", before, after);
        }
    }

    #[test]
    fn a_removed_host_is_lines_that_are_taken_out_and_nothing_else(
        (hosts, style) in (hosts(), styles()), at in any::<prop::sample::Index>(),
    ) {
        let before = text(&hosts, &style);
        let name = at.get(&hosts).0.trim_matches('"').to_owned();
        let after = apply(&before, &HostEdit::Remove { id: name.parse().unwrap() }).unwrap();
        let mut wanted = read(&before);
        wanted["hosts"].as_mapping_mut().unwrap().remove(name.as_str()).unwrap();
        let same = read(&after) == wanted;
        prop_assert!(same, "{}", after);
        let (old, new) = (lines(&before), lines(&after));
        let (head, tail) = unchanged(&old, &new);
        if !style.flow_hosts && hosts.len() > 1 {
            prop_assert_eq!(head + tail, new.len(), "a line changed:\n{}\n--- became\n{}", before, after);
        }
    }

    #[test]
    fn a_value_that_stands_there_already_changes_nothing((hosts, style) in (hosts(), styles())) {
        let before = text(&hosts, &style);
        let fields = Fields::from([(HostKey::HOSTNAME, Some(FieldValue::Text("h.lan".into())))]);
        let id: HostId = hosts[0].0.trim_matches('"').parse().unwrap();
        prop_assert_eq!(apply(&before, &HostEdit::Update { id, fields }).unwrap(), before);
    }
}

fn update(text: &str, id: &str, field: &str, value: &str) -> Result<String, Inexpressible> {
    let fields = Fields::from([(field.parse().unwrap(), Some(FieldValue::Text(value.into())))]);
    apply(text, &HostEdit::Update { id: id.parse().unwrap(), fields })
}

#[test]
fn an_anchor_that_others_share_is_left_to_its_owner() {
    let text = "hosts:\n  a: &base {hostname: x}\n  b: *base\n  c:\n    <<: *base\n    user: u\n";
    assert_eq!(update(text, "a", "hostname", "y"), Err(Inexpressible::Shared));
    assert_eq!(update(text, "b", "hostname", "y"), Err(Inexpressible::NotOwn));
    let own = update(text, "c", "user", "w").unwrap();
    assert_eq!(own, text.replace("user: u", "user: w"));
    let remove = HostEdit::Remove { id: "a".parse().unwrap() };
    assert_eq!(apply(text, &remove), Err(Inexpressible::Shared), "its anchor would stand elsewhere");
    let text = "hosts:\n  a:\n    user: &u ops\n    hostname: x\n  c:\n    user: *u\n    hostname: y\n";
    let unset = Fields::from([("user".parse().unwrap(), None)]);
    let unset = HostEdit::Update { id: "a".parse().unwrap(), fields: unset };
    assert_eq!(apply(text, &unset), Err(Inexpressible::Shared));
}

#[test]
fn a_first_host_finds_its_place_in_any_file() {
    let fields = Fields::from([(HostKey::HOSTNAME, Some(FieldValue::Text("nas.lan".into())))]);
    let add = |text: &str| apply(text, &HostEdit::Add { id: "nas".parse().unwrap(), fields: fields.clone() });
    let host = "  nas:\n    hostname: nas.lan\n";
    assert_eq!(add("").unwrap(), format!("hosts:\n{host}"));
    assert_eq!(add("# mine").unwrap(), format!("# mine\nhosts:\n{host}"));
    assert_eq!(add("hosts: {} # none yet\n").unwrap(), format!("hosts: # none yet\n{host}"));
    assert_eq!(add("hosts:\nserver: {port: 1}\n").unwrap(), format!("hosts:\n{host}server: {{port: 1}}\n"));
    assert_eq!(add("server: {port: 1}\n").unwrap(), format!("server: {{port: 1}}\nhosts:\n{host}"));
    assert_eq!(add("hosts: [a]\n"), Err(Inexpressible::Syntax));
}
