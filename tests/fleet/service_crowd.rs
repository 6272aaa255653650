//! Five bad hosts among two good ones: who asks the good ones does not notice.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::{join_all, select_all};
use serde_json::{Value, json};

use crate::support::host::Part;
use crate::support::trials::Trial;
use crate::support::witnesses::{Witnesses, assert_nothing_was_restarted, assert_told, is_down};
use crate::support::{Fleet, Host, Service, ServiceConfig, SlowProxy, eventually, wait_for};
use crate::trials;

const SOON: Duration = Duration::from_secs(10);

/// All five have shown what is wrong with them: the slowest is the one without power, whose first
/// attempt takes 10 s.
const SHOWN: Duration = Duration::from_secs(45);

/// Waits have grown to at most 32 s by then.
const HEALED: Duration = Duration::from_secs(60);

/// Each way: a new stream and a request on it take two round trips, 1.6 s: less than a call over
/// several hosts waits for one (2 s).
const SLOW: Duration = Duration::from_millis(400);

/// More calls than a host is asked at once (16): the last ones wait for the first.
const PENDING: usize = 20;

const WELL: &str = "h1,h2";
const ALL: [&str; 7] = ["h1", "h2", "dead", "hung", "slow", "refusing", "flapping"];

pub fn trials() -> Vec<Trial> {
    trials![five_bad_hosts_among_good_ones_hurt_nobody_and_come_back => 180]
}

/// Seven hosts, of which five can be made bad.
struct Crowd<'a> {
    well: [&'a Host; 2],
    dead: &'a Host,
    hung: &'a Host,
    refusing: &'a Host,
    flapping: &'a Host,
    proxy: SlowProxy,
    flaps: usize,
}

impl<'a> Crowd<'a> {
    fn gather(own: &'a Fleet) -> Self {
        Self {
            well: [own.host("h1"), own.host("h2")],
            dead: own.host("h3"),
            hung: own.host("h4"),
            refusing: own.host("h6"),
            flapping: own.host("h7"),
            proxy: SlowProxy::start(own.host("h5").ssh_address(), Duration::ZERO),
            flaps: 0,
        }
    }

    /// They are named by what will be wrong with them.
    fn config(&self, own: &Fleet) -> ServiceConfig {
        let bad = [
            ("dead", self.dead),
            ("hung", self.hung),
            ("refusing", self.refusing),
            ("flapping", self.flapping),
        ];
        let config = self.well.iter().fold(ServiceConfig::none(own), |config, host| config.with(host, &[]));
        let config = bad.iter().fold(config, |config, (id, host)| {
            config.entry(id, &[&format!("hostname: {}", host.address()), "user: ops"])
        });
        config.through("slow", own.host("h5"), &self.proxy)
    }

    async fn turn_bad(&mut self, service: &Service) {
        self.proxy.set_delay(SLOW);
        // it logs in, has its one session, and gets none for the engine
        self.refusing.sshd_options(&["MaxSessions 1", "AllowStreamLocalForwarding no"]);
        // the connection of before knows nothing of it
        self.refusing.kill_ssh_sessions();
        self.flap(service).await;
        // the last ones: their lines are found dead by themselves, soon
        self.dead.power_off();
        self.hung.hang(Part::Engine);
    }

    /// Down again as soon as it is up.
    async fn flap(&mut self, service: &Service) {
        if service.is_ready("flapping").await {
            self.flapping.kill_ssh_sessions();
            self.flaps += 1;
        }
    }

    fn turn_good(&self) {
        self.dead.boot();
        self.hung.resume(Part::Engine);
        self.proxy.set_delay(Duration::ZERO);
        self.refusing.sshd_options(&[]);
    }
}

async fn five_bad_hosts_among_good_ones_hurt_nobody_and_come_back(fleet: &Fleet) {
    // a fleet of its own, so that the others keep theirs
    let own = Fleet::acquire_as(fleet.script().sibling(), 7).unwrap();
    let mut crowd = Crowd::gather(&own);
    let mut witnesses = Witnesses::install(crowd.well);
    let hung = crowd.hung.record_engine();
    let service = Service::start(&crowd.config(&own));
    service.wait_ready(&ALL).await;
    let (pid, flapper_logins) = (service.pid(), crowd.flapping.ssh_logins());
    witnesses.clear();
    hung.clear();
    crowd.turn_bad(&service).await;

    // as long as nobody knows what is wrong with a host, calls to it wait for it, and for each other
    let stuck = ["dead", "hung"].into_iter().flat_map(|host| vec![host; PENDING]);
    let stuck: Vec<_> =
        stuck.map(|host| Box::pin(service.call("container_list", json!({"hosts": host})))).collect();
    let overtake = async {
        eventually("the hung engine is asked all it may be", SOON, async || hung.requests().len() >= 16)
            .await;
        for _ in 0..3 {
            let answer = witnesses.list_of(&service, WELL).await;
            assert_eq!(answer.structured["errors"], json!([]));
        }
    };
    let mut stuck = select_all(stuck);
    tokio::select! {
        biased;
        (answer, ..) = &mut stuck => panic!("answered before the others were asked: {answer:?}"),
        () = overtake => {}
    }
    let (first, _, others) = stuck.await;
    for answer in join_all(others).await.iter().chain([&first]) {
        assert!(answer.is_error, "{answer:?}");
    }

    let mut untold: BTreeSet<&str> = ["dead", "hung", "refusing", "flapping"].into();
    let mut slow_answers = 0;
    eventually("all are told, slow ones answer, and one has flapped thrice", SHOWN, async || {
        crowd.flap(&service).await;
        let answer = witnesses.list(&service).await;
        for host in &ALL[2..] {
            let failure = answer.failure(host);
            if failure != Value::Null {
                assert_told(&failure, host);
            }
            if is_down(&failure) {
                untold.remove(host);
            }
        }
        for (host, cause) in [("hung", "engine_down"), ("refusing", "sessions_exhausted")] {
            if service.row(host).await["cause"] != cause {
                untold.insert(host);
            }
        }
        slow_answers += usize::from(answer.failure("slow").is_null());
        untold.is_empty() && slow_answers >= 3 && crowd.flaps >= 4
    })
    .await;
    wait_for("each flap was a login", SOON, || crowd.flapping.ssh_logins() >= flapper_logins + 3);
    witnesses.assert_counts();

    crowd.turn_good();
    service.wait_ready_within(&ALL, HEALED).await;
    assert_eq!(witnesses.list(&service).await.structured["errors"], json!([]));
    witnesses.assert_counts();
    assert_eq!(service.pid(), pid);
    assert_nothing_was_restarted(&service);
}
