//! A host of which a part cannot be read.

use super::*;
use serde_json::{Value, json};

#[tokio::test(start_paused = true)]
async fn a_section_that_hangs_loses_no_other() {
    let lab = Lab::new(&[("nas", &[])]).await;
    lab.fake.model("nas", |model| model.ignore("/system/df"));
    lab.until_ready("nas").await;
    let inspect = async |sections: Value| match call(
        &lab.app,
        "host_inspect",
        json!({"host": "nas", "sections": sections}),
    )
    .await?
    {
        ToolOutput::Structured(answer) => Ok(answer),
        other => Err(format!("{other:?}")),
    };
    let answer = inspect(json!([])).await.unwrap();
    for section in ["engine", "resources", "ports", "warnings"] {
        assert!(answer.get(section).is_some(), "{section}: {answer:#}");
    }
    assert!(answer.get("disk").is_none(), "{answer:#}");
    let errors = answer["errors"].as_array().unwrap();
    assert_eq!(
        (errors.len(), &errors[0]["section"], &errors[0]["kind"]),
        (1, &json!("disk"), &json!("timeout"))
    );
    // what was not asked for fails nobody
    assert_eq!(inspect(json!(["engine"])).await.unwrap()["errors"], json!([]));
    // nothing at all is a failure
    let refused = inspect(json!(["disk"])).await.unwrap_err();
    assert!(refused.starts_with("timeout: nas"), "{refused}");
}
