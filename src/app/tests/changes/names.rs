//! Names that could be read as something else: no tool does anything with them.

use super::World;
use crate::app::tests::call;
use crate::domain::toolset::Offer;
use crate::mcp::catalogue;
use serde_json::{Value, json};

/// Two names in one, options, paths, shells, lines, other scripts.
const BAD: [&str; 12] = [
    "c14 c15",
    "--help",
    "-v",
    "",
    "a\nb",
    "../images",
    "a/../../b",
    "$(id)",
    "a;b",
    "\u{202e}a",
    "\u{e4}",
    "a\0b",
];

/// A value for a parameter that is a name, as it is good; `None` for all others.
fn good(parameter: &str) -> Option<Value> {
    Some(match parameter {
        "host" | "hosts" => json!("nas"),
        "to_host" => json!("pi"),
        "to" => json!(["pi"]),
        "context" => json!("/srv/app"),
        "dockerfile" => json!("deploy/Dockerfile"),
        "container" => json!("a"),
        "containers" => json!(["a"]),
        "image" => json!("old"),
        "images" => json!(["old"]),
        "tag" => json!("mine:1"),
        "volume" => json!("data"),
        "volumes" => json!(["data"]),
        "network" => json!("back"),
        "networks" => json!(["back"]),
        "name" | "rename" | "to_volume" => json!("fresh"),
        "driver" => json!("local"),
        "subnet" => json!("10.1.0.0/24"),
        "aliases" => json!(["db"]),
        "job" => json!("0198c2"),
        "stack" => json!("shop"),
        _ => return None,
    })
}

#[test]
fn a_name_that_is_none_reaches_no_engine() {
    let world = World::new();
    world.lives(async |app| {
        let mut tried = 0;
        for tool in catalogue(&Offer::all()).unwrap() {
            let name = tool["name"].as_str().unwrap();
            let properties = tool["inputSchema"]["properties"].as_object().unwrap();
            let required: Vec<&str> = tool["inputSchema"]["required"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            let mut arguments = serde_json::Map::new();
            for parameter in &required {
                let value = good(parameter).unwrap_or_else(|| match *parameter {
                    "what" => json!(["containers"]),
                    "path" => json!("/etc/hosts"),
                    "tags" => json!(["app:1"]),
                    "target" => json!("ops@nas"),
                    other => json!(other),
                });
                arguments.insert((*parameter).to_owned(), value);
            }
            // A filter that nothing passes is an answer.
            let is_name = |parameter: &&String| {
                good(parameter).is_some() && (name, &***parameter) != ("container_list", "stack")
            };
            for parameter in properties.keys().filter(is_name) {
                for bad in BAD {
                    let is_list = good(parameter).is_some_and(|value| value.is_array());
                    let mut arguments = arguments.clone();
                    arguments.insert(parameter.clone(), if is_list { json!([bad]) } else { json!(bad) });
                    let known = world.fake.deeds("nas").len();
                    let answer = call(app, name, Value::Object(arguments)).await;
                    let words = match answer {
                        Err(words) => words,
                        Ok(answer) => panic!("{name}.{parameter} = {bad:?}: {answer:?}"),
                    };
                    assert!(words.len() < 2000 && !words.contains('\0'), "{name}.{parameter}: {words}");
                    let asked = world.fake.deeds("nas");
                    let asked = asked[known..].iter().find(|deed| !deed.starts_with("GET "));
                    assert_eq!(asked, None, "{name}.{parameter} = {bad:?}");
                    tried += 1;
                }
            }
        }
        assert!(world.effects().is_empty() && tried > 500, "{tried}");
    });
}
