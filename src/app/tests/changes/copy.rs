//! Copies from one host to another.

use super::consent::{call, told};
use super::{World, make, the, write};
use crate::actors::changes::OtherHost;
use crate::changes::Source as _;
use crate::domain::change::Bound;
use crate::domain::fault::FaultKind;
use crate::journal::record::ChangeState;
use crate::mcp::Consent;
use crate::transport::fake::Model;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

impl World {
    fn archives(&self) -> (String, Option<String>) {
        let here = self.fake.model("nas", |model| model.archive("other").map(ToOwned::to_owned));
        (self.fake.model("pi", |model| model.archive("data").map(ToOwned::to_owned)).unwrap(), here)
    }
}

#[test]
fn what_arrives_is_what_was_sent_or_it_is_taken_back() {
    let world = World::new();
    assert_eq!(world.lives(async |app| make(app, the("volume_copy")).await).state, ChangeState::Done);
    let (there, here) = world.archives();
    assert_eq!(here, Some(there));

    let world = World::new();
    world.fake.model("nas", Model::spoil);
    let record = world.lives(async |app| make(app, the("volume_copy")).await);
    assert_eq!(record.state, ChangeState::Failed, "{record:?}");
    assert!(!record.is_rolled_back(), "one of the name was there, and does not come back");
    let words = record.words.unwrap();
    assert!(
        words.contains("others arrived") && words.contains("other and what was in it are gone"),
        "{words}"
    );
    assert_eq!(world.archives().1, None, "what came is no copy of anything");
}

#[test]
fn an_image_is_taken_from_any_host_and_a_volume_only_where_a_container_may_be_made() {
    let world = World::new();
    let lines = ["  nas: {hostname: nas}\n  pi: {hostname: pi, policy: ro}\n".to_owned()];
    write(&world.data.path().join("hosts.yml"), lines.into_iter());
    world.lives(async |app| {
        let volume = json!({"host": "pi", "volume": "data", "to_host": "nas", "to_volume": "new"});
        let refused = call(app, "volume_copy", volume, Consent::Unaskable).await.unwrap_err();
        assert!(refused.starts_with("policy_denied") && refused.contains("reading a volume"), "{refused}");
        assert!(world.effects().is_empty(), "nothing was made here either");
        let image = json!({"host": "pi", "image": "far", "to": ["nas"]});
        let copied = told(app, "image_copy", image).await;
        assert_eq!(
            (&copied["jobs"][0]["state"], world.effects()),
            (&json!("done"), vec!["load far".to_owned()])
        );
        let back = json!({"host": "nas", "image": "old", "to": ["pi"]});
        let refused = call(app, "image_copy", back, Consent::Unaskable).await.unwrap_err();
        assert!(refused.starts_with("policy_denied"), "{refused}");
    });
}

#[test]
fn what_is_overwritten_is_overwritten_from_the_machine_that_was_agreed_to() {
    let world = World::new();
    world.lives(async |app| {
        let copy = json!({
            "host": "pi", "volume": "data", "to_host": "nas", "to_volume": "other", "overwrite": true,
        });
        let with = |token: &Value| {
            let mut copy = copy.clone();
            copy["confirm"] = token.clone();
            copy
        };
        let plan = told(app, "volume_copy", copy.clone()).await;
        // The name leads to another machine.
        let before = app.directory().host("pi").unwrap().current_session().unwrap();
        world.fake.name_engine("pi", "another");
        world.fake.cut("pi", FaultKind::LinkLost);
        loop {
            let session = app.directory().host("pi").unwrap().session(Duration::from_secs(60)).await.unwrap();
            if !Arc::ptr_eq(&session, &before) {
                break;
            }
            tokio::task::yield_now().await;
        }
        let refused = call(app, "volume_copy", with(&plan["confirm"]), Consent::Unaskable).await.unwrap_err();
        assert!(refused.starts_with("confirmation_required"), "{refused}");
        assert!(world.effects().is_empty());
        let plan = told(app, "volume_copy", copy.clone()).await;
        assert_eq!(told(app, "volume_copy", with(&plan["confirm"])).await["state"], "done");
        // One that was agreed to before takes nothing from the other either.
        let bound = Some(Bound::to(&[]).and(Some("the one before".to_owned())));
        let source = OtherHost { host: app.directory().host("pi").unwrap(), bound };
        let image = "far".parse().unwrap();
        let refused = source.image_id(&image).await.unwrap_err().to_string();
        assert!(refused.contains("another machine"), "{refused}");
        let sent: Vec<_> = source.image(&image).collect().await;
        assert!(
            matches!(&sent[..], [Err(error)] if error.to_string().contains("another machine")),
            "{sent:?}"
        );
    });
}
