//! A YAML document as a tree whose nodes are numbered, so that a fault found anywhere later can be shown
//! at its place.
//!
//! `serde_yaml` tells a place only with an error. The reader therefore numbers what it visits, in the
//! order of the document; to place a node, the document is read again by a reader that fails on purpose
//! at that number. The numbers are `serde_yaml`'s own order, so the place is exact, whatever the style.

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, Visitor};
use serde_yaml::{Mapping, Number, Value};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt;

/// A file with more values than this is none of hosts; aliases can make a small file expand to any size.
const MOST_NODES: usize = 1_000_000;

/// More brackets than this open at once are no hosts file. `serde_yaml` refuses fewer, but its parser
/// takes a time that grows with the square of them before it does.
const MOST_OPEN: usize = 1000;

/// What a reader that fails on purpose says; only its place is looked at.
const HERE: &str = "here";

/// A node's number, in the order of the document.
pub(super) type Id = usize;

/// A value of a document.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) id: Id,
    pub(super) kind: Kind,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// A mapping: entries in the order of the document, equal keys included.
    Map(Vec<Entry>),
    /// A sequence.
    List(Vec<Node>),
    /// Anything else.
    Leaf(Value),
}

/// An entry of a mapping.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) key: Node,
    pub(super) value: Node,
}

impl Node {
    /// Reads a document; the empty one is a null.
    pub(super) fn parse(text: &str) -> Result<Self, serde_yaml::Error> {
        read(text, None)
    }

    /// Line and column, both from 1, of the node with this number.
    pub(super) fn place(text: &str, id: Id) -> Option<(usize, usize)> {
        let error = read(text, Some(id)).err()?;
        error.location().map(|at| (at.line(), at.column()))
    }

    /// Whether it is a null.
    pub(super) fn is_null(&self) -> bool {
        matches!(self.kind, Kind::Leaf(Value::Null))
    }

    /// The text, of a key or a value that is one.
    pub(super) fn as_str(&self) -> Option<&str> {
        match &self.kind {
            Kind::Leaf(value) => value.as_str(),
            _ => None,
        }
    }

    /// The value without numbers; of equal keys the last one counts.
    pub(super) fn to_value(&self) -> Value {
        match &self.kind {
            Kind::Leaf(value) => value.clone(),
            Kind::List(items) => Value::Sequence(items.iter().map(Self::to_value).collect()),
            Kind::Map(entries) => {
                let pairs = entries.iter().map(|entry| (entry.key.to_value(), entry.value.to_value()));
                Value::Mapping(pairs.collect::<Mapping>())
            }
        }
    }

    /// What stands here, for a message: "a list", "the number 5".
    pub(super) fn described(&self) -> String {
        match &self.kind {
            Kind::Map(_) => "a mapping".to_owned(),
            Kind::List(_) => "a list".to_owned(),
            Kind::Leaf(Value::Null) => "nothing".to_owned(),
            Kind::Leaf(Value::Bool(flag)) => format!("the truth value {flag}"),
            Kind::Leaf(Value::Number(number)) => format!("the number {number}"),
            Kind::Leaf(Value::String(text)) => {
                format!("the text {:?}", text.chars().take(40).collect::<String>())
            }
            Kind::Leaf(_) => "a value of another kind".to_owned(),
        }
    }

    /// Calls `change` with every text that is a value; keys stay as they are.
    pub(super) fn change_texts(&mut self, change: &mut impl FnMut(Id, &mut String)) {
        match &mut self.kind {
            Kind::Map(entries) => entries.iter_mut().for_each(|entry| entry.value.change_texts(change)),
            Kind::List(items) => items.iter_mut().for_each(|item| item.change_texts(change)),
            Kind::Leaf(Value::String(text)) => change(self.id, text),
            Kind::Leaf(_) => {}
        }
    }

    /// Takes the entries of `<<` (YAML 1.1's merge key) into the mapping that names it: an entry of its
    /// own counts more, and an earlier one of several merged mappings. Returns where that is not
    /// possible, because something else than a mapping was to be merged.
    pub(super) fn merge(&mut self) -> Vec<Id> {
        let mut faults = Vec::new();
        match &mut self.kind {
            Kind::Map(entries) => {
                for entry in entries.iter_mut() {
                    faults.extend(entry.value.merge());
                }
                let (merges, own): (Vec<Entry>, Vec<Entry>) =
                    std::mem::take(entries).into_iter().partition(|entry| entry.key.as_str() == Some("<<"));
                *entries = own;
                let mut known: BTreeSet<String> =
                    entries.iter().filter_map(|entry| entry.key.as_str().map(ToOwned::to_owned)).collect();
                for merged in merges {
                    let sources = match merged.value.kind {
                        Kind::List(items) => items,
                        _ => vec![merged.value],
                    };
                    for source in sources {
                        let Kind::Map(inherited) = source.kind else {
                            faults.push(source.id);
                            continue;
                        };
                        for entry in inherited {
                            if entry.key.as_str().is_none_or(|key| known.insert(key.to_owned())) {
                                entries.push(entry);
                            }
                        }
                    }
                }
            }
            Kind::List(items) => items.iter_mut().for_each(|item| faults.extend(item.merge())),
            Kind::Leaf(_) => {}
        }
        faults
    }
}

fn read(text: &str, stop: Option<Id>) -> Result<Node, serde_yaml::Error> {
    // An empty document is valid YAML and means nothing; serde_yaml takes it for a fault.
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(Node { id: 0, kind: Kind::Leaf(Value::Null) });
    }
    if most_open(text) > MOST_OPEN {
        return Err(serde_yaml::Error::custom("its brackets are nested too deeply: it is no hosts file"));
    }
    let next = Cell::new(0);
    Reader { next: &next, stop }.deserialize(serde_yaml::Deserializer::from_str(text))
}

/// How many brackets are open at once at most; those in texts and comments count too.
fn most_open(text: &str) -> usize {
    let (mut open, mut most) = (0_usize, 0);
    for byte in text.bytes() {
        match byte {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            _ => continue,
        }
        most = most.max(open);
    }
    most
}

/// Reads a value, numbering what it visits.
#[derive(Clone, Copy)]
struct Reader<'a> {
    next: &'a Cell<Id>,
    stop: Option<Id>,
}

impl Reader<'_> {
    fn number<E: Error>(self) -> Result<Id, E> {
        let id = self.next.get();
        self.next.set(id + 1);
        if self.stop == Some(id) {
            return Err(E::custom(HERE));
        }
        if id >= MOST_NODES {
            return Err(E::custom(format!(
                "the file comes to more than {MOST_NODES} values, its aliases written out: it is no hosts file"
            )));
        }
        Ok(id)
    }

    fn leaf<E: Error>(self, value: impl Into<Value>) -> Result<Node, E> {
        Ok(Node { id: self.number()?, kind: Kind::Leaf(value.into()) })
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        self.leaf(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node, E> {
        self.leaf(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Node, E> {
        self.leaf(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Node, E> {
        self.leaf(value)
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<Node, E> {
        self.leaf(value.to_string())
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<Node, E> {
        self.leaf(value.to_string())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Node, E> {
        self.leaf(Value::Number(Number::from(value)))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Node, E> {
        self.leaf(value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let id = self.number()?;
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(self)? {
            items.push(item);
        }
        Ok(Node { id, kind: Kind::List(items) })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let id = self.number()?;
        let mut entries = Vec::new();
        while let Some(key) = map.next_key_seed(self)? {
            entries.push(Entry { key, value: map.next_value_seed(self)? });
        }
        Ok(Node { id, kind: Kind::Map(entries) })
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _: A) -> Result<Node, A::Error> {
        Err(A::Error::custom("a tag such as !name means nothing here: leave it out"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "hosts:\n  nas: &nas\n    hostname: a\n    tags: [x, y]\n  pi: {<<: *nas, hostname: b}\n";

    fn entry<'a>(node: &'a Node, key: &str) -> &'a Entry {
        let Kind::Map(entries) = &node.kind else { panic!("no mapping") };
        entries.iter().find(|entry| entry.key.as_str() == Some(key)).unwrap()
    }

    #[test]
    fn every_node_is_found_again_by_its_number() {
        let root = Node::parse(TEXT).unwrap();
        let nas = entry(&entry(&root, "hosts").value, "nas");
        let tags = entry(&nas.value, "tags");
        let Kind::List(items) = &tags.value.kind else { panic!("no list") };
        let places = [nas.key.id, entry(&nas.value, "hostname").value.id, items[1].id];
        assert_eq!(places.map(|id| Node::place(TEXT, id)), [Some((2, 3)), Some((3, 15)), Some((4, 15))]);
    }

    #[test]
    fn merged_entries_count_less_than_own_ones_and_keep_their_place() {
        let mut root = Node::parse(TEXT).unwrap();
        assert_eq!(root.merge(), [] as [Id; 0]);
        let pi = &entry(&entry(&root, "hosts").value, "pi").value;
        assert_eq!(entry(pi, "hostname").value.as_str(), Some("b"));
        assert!(matches!(&entry(pi, "tags").value.kind, Kind::List(items) if items.len() == 2));
        let mut root = Node::parse("a: {<<: 5}\n").unwrap();
        assert_eq!(root.merge().len(), 1);
    }

    #[test]
    fn equal_keys_are_both_there() {
        let Kind::Map(entries) = Node::parse("a: 1\na: 2\n").unwrap().kind else { panic!("no mapping") };
        assert_eq!(entries.len(), 2);
    }

    #[test]
    fn aliases_that_expand_without_end_are_refused() {
        let items = vec!["x"; 3000].join(",");
        let aliases = vec!["*a"; 3000].join(",");
        let error = Node::parse(&format!("a: &a [{items}]\nb: [{aliases}]\n")).unwrap_err();
        assert!(error.to_string().contains("more than 1000000 values"), "{error}");
    }
}
