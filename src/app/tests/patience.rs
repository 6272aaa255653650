//! How long a call waits for a host, and how long the Reaper waits after a fault of its own.

use super::crashes::until;
use super::{LONG, Lab, call};
use crate::domain::fault::{Fault, FaultKind};
use crate::mcp::ToolOutput;
use crate::transport::fake::Scene;
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

/// Lists the containers of `hosts`; how long it took, and whose failure is told.
async fn list(lab: &Lab, hosts: &str) -> (Duration, Vec<String>) {
    let start = Instant::now();
    let answer = call(&lab.app, "container_list", json!({"hosts": hosts})).await;
    let failed = match answer {
        Ok(ToolOutput::Structured(answer)) => {
            let errors = answer["errors"].as_array().unwrap().iter();
            errors.map(|failure| failure["host"].as_str().unwrap().to_owned()).collect()
        }
        Ok(other) => panic!("{other:?}"),
        Err(error) => vec![error],
    };
    (start.elapsed(), failed)
}

#[tokio::test(start_paused = true)]
async fn a_call_over_several_hosts_waits_two_seconds_for_one_and_a_call_about_one_waits_ten() {
    let lab = Lab::new(&[("nas", &[]), ("pi", &[])]).await;
    lab.until_ready("nas").await;
    lab.until_ready("pi").await;
    lab.fake.freeze("nas");
    let (took, failed) = list(&lab, "*").await;
    assert_eq!((took.as_millis() / 100, failed.as_slice()), (20, &["nas".to_owned()][..]));

    let lab = Lab::new(&[("nas", &[])]).await;
    lab.until_ready("nas").await;
    lab.fake.freeze("nas");
    let (took, failed) = list(&lab, "nas").await;
    assert_eq!(took.as_millis() / 100, 100);
    assert!(failed[0].starts_with("timeout: nas did not answer within 10 s"), "{failed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_host_in_known_trouble_is_waited_for_a_third_of_a_second() {
    let trouble = [Scene::Fails(FaultKind::Refused), Scene::Hangs];
    let lab = Lab::new(&[("nas", &trouble), ("pi", &[])]).await;
    lab.until_ready("pi").await;
    lab.until("nas", |status| status.phase.word() == "connecting" && status.phase.cause().is_some()).await;
    let (took, failed) = list(&lab, "*").await;
    assert_eq!((took.as_millis() / 100, failed.as_slice()), (3, &["nas".to_owned()][..]));
}

#[tokio::test(start_paused = true)]
async fn s5_a_fault_in_letting_go_is_tried_again_after_a_second() {
    let lab = Lab::new(&[("nas", &[])]).await;
    lab.until_ready("nas").await;
    let nas = lab.directory().host("nas").unwrap();
    let change = nas.change("hold", LONG, |operation| {
        let fake = lab.fake.clone();
        async move {
            operation.temp_file(vec![]).await?;
            fake.cut("nas", FaultKind::LinkLost);
            Err::<(), _>(Fault::new(FaultKind::LinkLost, "as planned").into())
        }
    });
    assert!(change.await.is_err());
    let removals = || lab.fake.deeds("nas").iter().filter(|deed| deed.starts_with("exec rm ")).count();
    until("the Reaper has it", || lab.directory().reaper().leftovers().len() == 1).await;
    let before = removals();
    lab.fake.panic_on("rm");
    until("it panics", || removals() == before + 1).await;
    let panicked = Instant::now();
    until("nothing is left", || lab.directory().reaper().leftovers().is_empty()).await;
    assert_eq!(removals(), before + 2);
    // What is waited for is looked at every few milliseconds.
    assert!((950..=1050).contains(&panicked.elapsed().as_millis()), "{:?}", panicked.elapsed());
}
