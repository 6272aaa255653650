//! How a hosts file changes under a running service: every way in which editors, tools and mounts
//! replace a file is noticed each time, and hosts that stay are not touched by any of them.

use std::cell::Cell;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::support::listed::NOTICED;
use crate::support::service::Home;
use crate::support::trials::Trial;
use crate::support::witnesses::assert_nothing_was_restarted;
use crate::support::{Fleet, Service, ServiceConfig, eventually};
use crate::trials;

/// Changes of one kind in a row. A watch that goes deaf misses the second one.
const ROUNDS: usize = 2;

/// Replacements faster than anybody reads.
const BURST: usize = 50;

const RELOADS: usize = 1000;

/// Calls during all the reloads, of which a thousand are made even on a busy machine: fewer would mean
/// that reloads hold calls up.
const FEWEST_CALLS: usize = RELOADS / 10;

pub fn trials() -> Vec<Trial> {
    trials![
        s10_a_file_written_in_place_is_noticed_each_time,
        s10_a_file_renamed_over_is_noticed_each_time,
        s10_a_file_unlinked_and_made_again_is_noticed_each_time,
        s10_a_mounted_file_swapped_by_its_data_link_is_noticed_each_time,
        s10_of_a_burst_of_files_the_last_one_counts,
        s10_a_directory_removed_and_made_again_is_watched_again,
        s10_a_directory_replaced_at_once_is_watched_again,
        s10_a_linked_file_is_noticed_where_it_leads,
        s10_a_half_written_file_takes_no_host_away,
        s10_polling_notices_what_no_event_tells,
    ]
}

/// For `make test-long`.
pub fn long_trials() -> Vec<Trial> {
    trials![s10_a_thousand_reloads_fail_no_call_and_log_nobody_in_again => 150]
}

/// `config` with h1, which is never touched, and with h2 and its tag if there is one.
fn hosts(config: &ServiceConfig, fleet: &Fleet, tag: Option<&str>) -> ServiceConfig {
    let config = config.clone().with(fleet.host("h1"), &["tags: [same]"]);
    match tag {
        Some(tag) => config.with(fleet.host("h2"), &[&format!("tags: [{tag}]")]),
        None => config,
    }
}

fn renamed_over(file: &Path, text: &str) {
    let new = file.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, file).unwrap();
}

async fn tag_becomes(service: &Service, tag: &str) {
    service.wait_row("h2", "tags", json!([tag])).await;
}

/// Starts a service on h1, then adds, tags and removes h2 again and again; each change waits for the
/// one before. `prepare` lays out the directories, `write` puts a text in the place of the hosts file.
async fn every_change_is_noticed(
    fleet: &Fleet,
    config: &ServiceConfig,
    prepare: impl FnOnce(&Path),
    mut write: impl FnMut(&Path, &str),
) {
    let home = Home::new(&hosts(config, fleet, None));
    let file = home.hosts_file();
    prepare(&file);
    let service = Service::start_in(home);
    service.wait_ready(&["h1"]).await;
    let [same, before, other] = fleet.logins();
    let mut change = |tag: Option<&str>| write(&file, hosts(config, fleet, tag).yaml());
    for round in 0..ROUNDS {
        change(Some("new"));
        service.wait_hosts(&["h1", "h2"]).await;
        service.wait_ready(&["h2"]).await;
        for again in 0..ROUNDS {
            let tag = format!("tag-{round}-{again}");
            change(Some(&tag));
            tag_becomes(&service, &tag).await;
        }
        change(None);
        service.wait_hosts(&["h1"]).await;
    }
    assert!(service.is_ready("h1").await);
    assert_eq!(fleet.logins(), [same, before + ROUNDS, other], "h1 stayed, h2 came as often as it was added");
    assert_eq!(service.faults().await, Value::Null);
}

async fn s10_a_file_written_in_place_is_noticed_each_time(fleet: &Fleet) {
    let write = |file: &Path, text: &str| fs::write(file, text).unwrap();
    every_change_is_noticed(fleet, &ServiceConfig::none(fleet), |_| {}, write).await;
}

async fn s10_a_file_renamed_over_is_noticed_each_time(fleet: &Fleet) {
    every_change_is_noticed(fleet, &ServiceConfig::none(fleet), |_| {}, renamed_over).await;
}

async fn s10_a_file_unlinked_and_made_again_is_noticed_each_time(fleet: &Fleet) {
    let write = |file: &Path, text: &str| {
        fs::remove_file(file).unwrap();
        fs::write(file, text).unwrap();
    };
    every_change_is_noticed(fleet, &ServiceConfig::none(fleet), |_| {}, write).await;
}

/// As the kubelet updates a mounted `ConfigMap`: the file is a link into `..data`, which is a link to a
/// directory of this version. Nothing ever happens to the name `hosts.yml` itself.
async fn s10_a_mounted_file_swapped_by_its_data_link_is_noticed_each_time(fleet: &Fleet) {
    let version = Cell::new(0);
    let swap = |file: &Path, text: &str| {
        let mount = file.parent().unwrap();
        let old = fs::read_link(mount.join("..data")).ok();
        version.set(version.get() + 1);
        let new = format!("..version-{}", version.get());
        fs::create_dir(mount.join(&new)).unwrap();
        fs::write(mount.join(&new).join("hosts.yml"), text).unwrap();
        symlink(&new, mount.join("..data_tmp")).unwrap();
        fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
        if let Some(old) = old {
            fs::remove_dir_all(mount.join(old)).unwrap();
        }
    };
    let config = ServiceConfig::none(fleet).hosts_file("etc/hosts.yml");
    let text = hosts(&config, fleet, None).yaml().to_owned();
    let prepare = |file: &Path| {
        fs::remove_file(file).unwrap();
        swap(file, &text);
        symlink("..data/hosts.yml", file).unwrap();
    };
    every_change_is_noticed(fleet, &config, prepare, &swap).await;
}

/// What is in between may be read or not; it is never what stays, and takes nothing away.
async fn s10_of_a_burst_of_files_the_last_one_counts(fleet: &Fleet) {
    let config = ServiceConfig::none(fleet);
    let service = Service::start(&hosts(&config, fleet, Some("first")));
    service.wait_ready(&["h1", "h2"]).await;
    let before = fleet.logins();
    let file = service.home().hosts_file();
    for round in 0..3 {
        for number in 0..BURST {
            let tagged = hosts(&config, fleet, Some(&format!("tag-{round}-{number}"))).yaml().to_owned();
            let text = match number % 5 {
                0 => "hosts:\n",
                1 => "hosts: [",
                _ => &tagged,
            };
            renamed_over(&file, text);
        }
        tag_becomes(&service, &format!("tag-{round}-{}", BURST - 1)).await;
        eventually("no fault is left", NOTICED, async || service.faults().await.is_null()).await;
    }
    assert_eq!(fleet.logins(), before);
}

/// While there is no file the last good one counts; the new directory is another one for the system.
async fn s10_a_directory_removed_and_made_again_is_watched_again(fleet: &Fleet) {
    let config = ServiceConfig::none(fleet).hosts_file("etc/hosts.yml");
    let service = Service::start(&hosts(&config, fleet, Some("first")));
    service.wait_ready(&["h1", "h2"]).await;
    let before = fleet.logins();
    let file = service.home().hosts_file();
    let text = |tag: &str| hosts(&config, fleet, Some(tag)).yaml().to_owned();
    for round in 0..ROUNDS {
        fs::remove_dir_all(file.parent().unwrap()).unwrap();
        let missing = async || service.faults().await.to_string().contains("does not exist");
        eventually("it is told that the file is missing", NOTICED, missing).await;
        service.wait_hosts(&["h1", "h2"]).await;

        fs::create_dir(file.parent().unwrap()).unwrap();
        fs::write(&file, text(&format!("back-{round}"))).unwrap();
        tag_becomes(&service, &format!("back-{round}")).await;
        assert_eq!(service.faults().await, Value::Null);
        for again in 0..ROUNDS {
            renamed_over(&file, &text(&format!("again-{round}-{again}")));
            tag_becomes(&service, &format!("again-{round}-{again}")).await;
        }
    }
    assert_eq!(fleet.logins(), before);
}

/// As `git checkout` and deployments do it: nobody sees the time without the directory, and the system
/// may give the new one the old one's number.
async fn s10_a_directory_replaced_at_once_is_watched_again(fleet: &Fleet) {
    let config = ServiceConfig::none(fleet).hosts_file("etc/hosts.yml");
    let service = Service::start(&hosts(&config, fleet, Some("first")));
    service.wait_ready(&["h1", "h2"]).await;
    let before = fleet.logins();
    let file = service.home().hosts_file();
    let text = |tag: &str| hosts(&config, fleet, Some(tag)).yaml().to_owned();
    for round in 0..ROUNDS {
        fs::remove_dir_all(file.parent().unwrap()).unwrap();
        fs::create_dir(file.parent().unwrap()).unwrap();
        fs::write(&file, text(&format!("back-{round}"))).unwrap();
        tag_becomes(&service, &format!("back-{round}")).await;
        for again in 0..ROUNDS {
            renamed_over(&file, &text(&format!("again-{round}-{again}")));
            tag_becomes(&service, &format!("again-{round}-{again}")).await;
        }
    }
    assert_eq!(fleet.logins(), before);
}

/// As people keep their files elsewhere and link to them: `dockmaster hosts edit` follows the link and
/// changes the file there, and the service is to notice.
async fn s10_a_linked_file_is_noticed_where_it_leads(fleet: &Fleet) {
    let place = |file: &Path| file.with_file_name("elsewhere").join("hosts.yml");
    let prepare = |file: &Path| {
        fs::create_dir(place(file).parent().unwrap()).unwrap();
        fs::rename(file, place(file)).unwrap();
        symlink(place(file), file).unwrap();
    };
    let write = |file: &Path, text: &str| renamed_over(&place(file), text);
    every_change_is_noticed(fleet, &ServiceConfig::none(fleet), prepare, write).await;
}

/// The service reads each half: it says so, and is told the rest only then.
async fn s10_a_half_written_file_takes_no_host_away(fleet: &Fleet) {
    let config = ServiceConfig::none(fleet);
    let service = Service::start(&hosts(&config, fleet, Some("first")));
    service.wait_ready(&["h1", "h2"]).await;
    let before = fleet.logins();
    let file = service.home().hosts_file();
    for (number, cut) in ["", "hosts:", "h1:", "hostname: 10.", "h2:", "tags: ["].into_iter().enumerate() {
        let tag = format!("whole-{number}");
        let whole = hosts(&config, fleet, Some(&tag)).yaml().to_owned();
        // the last of its kind: that of h2
        let half = whole.rfind(cut).filter(|_| !cut.is_empty()).map_or(0, |at| at + cut.len());
        fs::write(&file, &whole[..half]).unwrap();
        eventually(&format!("{cut:?} is read"), NOTICED, async || !service.faults().await.is_null()).await;
        service.wait_hosts(&["h1", "h2"]).await;
        let mut rest = fs::OpenOptions::new().append(true).open(&file).unwrap();
        rest.write_all(&whole.as_bytes()[half..]).unwrap();
        tag_becomes(&service, &tag).await;
        assert_eq!(service.faults().await, Value::Null);
    }
    assert_eq!(fleet.logins(), before);
}

/// The file is a link, and what happens where it leads tells the watched directory nothing: so it is on
/// shares for every change.
async fn s10_polling_notices_what_no_event_tells(fleet: &Fleet) {
    let config = ServiceConfig::none(fleet).server("watch: poll");
    let place = |file: &Path| file.with_file_name("elsewhere").join("hosts.yml");
    let prepare = |file: &Path| {
        fs::create_dir(place(file).parent().unwrap()).unwrap();
        fs::rename(file, place(file)).unwrap();
        symlink(place(file), file).unwrap();
    };
    let write = |file: &Path, text: &str| fs::write(place(file), text).unwrap();
    every_change_is_noticed(fleet, &config, prepare, write).await;
}

async fn sinces(service: &Service) -> [Value; 2] {
    [service.row("h1").await["since"].clone(), service.row("h2").await["since"].clone()]
}

/// Each reload is seen before the next one is ordered, so none of them is two.
async fn s10_a_thousand_reloads_fail_no_call_and_log_nobody_in_again(fleet: &Fleet) {
    let config = ServiceConfig::none(fleet);
    let service = Service::start(&hosts(&config, fleet, Some("first")));
    service.wait_ready(&["h1", "h2"]).await;
    let before = fleet.logins();
    let since = sinces(&service).await;
    let file = service.home().hosts_file();
    let (done, calls) = (AtomicBool::new(false), AtomicUsize::new(0));
    let calling = async {
        while !done.load(Ordering::SeqCst) {
            let answer = service.call("container_list", json!({"hosts": "h1"})).await;
            assert!(!answer.is_error, "{}", answer.text);
            assert_eq!(answer.structured["errors"], json!([]), "{}", answer.text);
            calls.fetch_add(1, Ordering::SeqCst);
        }
    };
    let reloading = async {
        for number in 0..RELOADS {
            let tag = format!("reload-{number}");
            renamed_over(&file, hosts(&config, fleet, Some(&tag)).yaml());
            service.reload();
            tag_becomes(&service, &tag).await;
        }
        done.store(true, Ordering::SeqCst);
    };
    tokio::join!(calling, reloading);
    let calls = calls.into_inner();
    assert!(calls >= FEWEST_CALLS, "only {calls} calls");
    assert_eq!(fleet.logins(), before);
    assert_eq!(sinces(&service).await, since, "h2 was tagged, and both lines stayed");
    assert_nothing_was_restarted(&service);
}
