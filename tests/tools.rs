//! What assistants are offered: every tool as they see it, and how much of their attention that takes.

use dockmaster::domain::toolset::{Offer, Toolset};
use dockmaster::mcp::catalogue;
use serde_json::Value;
use std::path::Path;

/// A tool costs its reader about a token for four of these.
fn characters(tools: &[Value]) -> usize {
    let told = |tool: &Value| ["name", "description", "inputSchema"].map(|part| tool[part].to_string().len());
    tools.iter().flat_map(told).sum()
}

#[test]
fn the_list_is_short_enough_to_be_read_with_every_request() {
    let tokens = |offer: &Offer| characters(&catalogue(offer).unwrap()) / 4;
    assert!(tokens(&Offer::default()) <= 7_500, "{}", tokens(&Offer::default()));
    let harmless = Offer { read_only: true, ..Offer::default() };
    assert!(tokens(&harmless) <= 4_000, "{}", tokens(&harmless));
}

#[test]
fn offers_are_kept() {
    let names = |offer: &Offer| -> Vec<String> {
        catalogue(offer).unwrap().iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
    };
    let harmless = Offer { read_only: true, ..Offer::default() };
    for tool in catalogue(&harmless).unwrap() {
        assert_eq!(tool["annotations"]["readOnlyHint"], true, "{tool}");
    }
    let kept = Offer { no_destructive: true, ..Offer::all() };
    for tool in catalogue(&kept).unwrap() {
        assert_eq!(tool["annotations"]["destructiveHint"], false, "{tool}");
    }
    let one = Offer { tools: ["host_add".to_owned()].into(), ..Offer::default() };
    assert_eq!(names(&one), ["host_add"]);
    let less = Offer { exclude: ["prune".to_owned()].into(), ..Offer::all() };
    assert_eq!(names(&less).len(), names(&Offer::all()).len() - 1);
    assert!(!names(&Offer::default()).contains(&"host_remove".to_owned()));
    let told = catalogue(&Offer { tools: ["container_lst".to_owned()].into(), ..Offer::all() }).unwrap_err();
    assert!(told.to_string().contains("\"container_list\""), "{told}");
    for toolset in Toolset::ALL {
        let offer = Offer { toolsets: toolset.word().parse().ok(), ..Offer::default() };
        assert!(!names(&offer).is_empty(), "{toolset} has no tool");
    }
}

/// A change of what assistants see is a change on purpose. `UPDATE=1` takes what there is.
#[test]
fn every_tool_is_as_it_was_written_down() {
    let tools = catalogue(&Offer::all()).unwrap();
    let now = serde_json::to_string_pretty(&tools).unwrap() + "\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools.json");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap();
    let before: Vec<Value> = serde_json::from_str(&written).unwrap();
    for (tool, before) in tools.iter().zip(&before) {
        assert_eq!(tool, before, "UPDATE=1 cargo test --test tools writes it down");
    }
    assert_eq!(tools.len(), before.len());
}
