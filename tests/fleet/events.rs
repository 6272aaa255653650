//! What there is on an engine, known without asking it: one stream of events, and a look at what they
//! touched.

use std::time::Duration;

use dockmaster::engine::inventory::Inventory;

use crate::support::host::Engine;
use crate::support::trials::Trial;
use crate::support::{Embedded, Fleet, IMAGE};
use crate::trials;

/// Events settle for a tenth of a second, and a list takes milliseconds.
const KNOWN: Duration = Duration::from_secs(20);

pub fn trials() -> Vec<Trial> {
    trials![what_happens_at_an_engine_is_known_without_asking, what_happens_at_podman_is_known_too]
}

async fn known(dockmaster: &Embedded, what: &str, is: impl Fn(&Inventory) -> bool) {
    let mut host = dockmaster.host.clone();
    let known = host.wait_for_known(|known| known.live && is(&known.inventory));
    let known = tokio::time::timeout(KNOWN, known).await;
    assert!(known.is_ok_and(|known| known.is_some()), "{what}: {:#?}", dockmaster.host.known());
}

async fn what_happens_at_an_engine_is_known_without_asking(fleet: &Fleet) {
    let host = fleet.host("h1");
    let recorder = host.record_engine();
    let dockmaster = Embedded::start(fleet, host).await;
    recorder.clear();
    let has = |inventory: &Inventory, state: &str| inventory.states().get(state).copied().unwrap_or_default();

    host.run_container(&["--name", "followed", IMAGE, "sleep", "1000"]);
    known(&dockmaster, "a container", |inventory| has(inventory, "running") == 1).await;
    host.docker(&["kill", "followed"]);
    known(&dockmaster, "its end", |inventory| has(inventory, "exited") == 1).await;
    host.docker(&["rename", "followed", "renamed"]);
    known(&dockmaster, "its name", |inventory| inventory.containers.iter().any(|one| one.name == "renamed"))
        .await;
    host.docker(&["volume", "create", "followed"]);
    known(&dockmaster, "a volume", |inventory| inventory.volumes.iter().any(|one| one.name == "followed"))
        .await;
    host.docker(&["network", "create", "followed"]);
    known(&dockmaster, "a network", |inventory| inventory.networks.iter().any(|one| one.name == "followed"))
        .await;
    host.docker(&["tag", IMAGE, "followed:1"]);
    let tagged =
        |inventory: &Inventory| inventory.images.iter().any(|one| one.tags.contains(&"followed:1".into()));
    known(&dockmaster, "a tag", tagged).await;
    host.docker(&["rmi", "followed:1"]);
    host.docker(&["rm", "renamed"]);
    host.docker(&["volume", "rm", "followed"]);
    host.docker(&["network", "rm", "followed"]);
    known(&dockmaster, "nothing of it", |inventory| {
        inventory.containers.is_empty()
            && !tagged(inventory)
            && !inventory.volumes.iter().any(|one| one.name == "followed")
            && !inventory.networks.iter().any(|one| one.name == "followed")
    })
    .await;
    // over one stream, and with no more looks than there were events: docker tells about twenty
    let requests = recorder.requests();
    assert!((9..=30).contains(&requests.len()), "{requests:?}");
    assert!(requests.iter().all(|request| request.method == "GET"), "{requests:?}");
    assert!(
        requests.iter().all(|request| !request.path.contains("/events")),
        "a second stream: {requests:?}"
    );
    dockmaster.stop().await;
}

async fn what_happens_at_podman_is_known_too(fleet: &Fleet) {
    let host = fleet.host("h1");
    host.engine(Engine::Podman);
    let dockmaster = Embedded::start(fleet, host).await;
    let volume = |inventory: &Inventory| inventory.volumes.iter().any(|one| one.name == "followed");
    known(&dockmaster, "nothing yet", |inventory| !volume(inventory)).await;
    host.docker(&["volume", "create", "followed"]);
    known(&dockmaster, "a volume", volume).await;
    host.docker(&["volume", "rm", "followed"]);
    known(&dockmaster, "its end", |inventory| !volume(inventory)).await;
    dockmaster.stop().await;
    fleet.heal_all();
}
