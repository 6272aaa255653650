use super::*;
use crate::domain::build::BuildArgs;
use std::collections::BTreeMap;

fn volume() -> VolumeSpec {
    let (options, labels) = (BTreeMap::new(), BTreeMap::new());
    VolumeSpec { name: "data".parse().unwrap(), driver: None, options, labels }
}

#[test]
fn the_password_of_a_file_server_is_hidden() {
    let options = [("o".to_owned(), "username=me,password=hunter2,rw".to_owned())].into();
    let change = Change::VolumeCreate(VolumeSpec { options, ..volume() });
    let (masked, whole) = change.masked();
    let kept = serde_json::to_string(&masked).unwrap();
    assert!(!whole && !kept.contains("hunter2") && kept.contains("username=me"), "{kept}");
    assert!(!change.hide("mount: username=me,password=hunter2,rw").contains("hunter2"));
    assert_eq!(change.asks(), Asks::Agreement, "it may be anywhere");
}

fn args(token: &str) -> BuildArgs {
    BTreeMap::from([("TOKEN".parse().unwrap(), token.to_owned())]).try_into().unwrap()
}

/// One change of each kind.
pub(crate) fn all() -> Vec<Change> {
    let containers: Vec<ContainerName> = vec!["a".parse().unwrap(), "b".parse().unwrap()];
    let image: ImageName = "busybox".parse().unwrap();
    vec![
        Change::ContainerStart { containers: containers.clone(), patience: None },
        Change::ContainerStop { containers: containers.clone(), grace: Some(1), mode: StopMode::Stop },
        Change::ContainerRestart { containers: containers.clone(), grace: None, patience: Some(60) },
        Change::ContainerRemove { containers, force: true, volumes: false },
        Change::ContainerRun(Box::new(RunSpec::of(image.clone()))),
        Change::ContainerUpdate {
            container: "a".parse().unwrap(),
            limits: LimitSpec { memory: Some(1), ..LimitSpec::default() },
            rename: None,
        },
        Change::ImageBuild(Box::new(BuildSpec {
            context: "https://example.test/app.git".parse().unwrap(),
            dockerfile: None,
            tags: vec!["app:1".parse().unwrap()],
            args: args("hunter2"),
            target: None,
            no_cache: false,
        })),
        Change::ImageCopy { image: image.clone(), from: "pi".parse().unwrap() },
        Change::ImagePush { image: image.clone() },
        Change::ImageTag { image: image.clone(), name: "mine".parse().unwrap() },
        Change::ImageRemove { images: vec![image.clone()], force: false },
        Change::VolumeCreate(volume()),
        Change::VolumeCopy {
            source: "data".parse().unwrap(),
            from: "pi".parse().unwrap(),
            volume: "other".parse().unwrap(),
            overwrite: true,
        },
        Change::VolumeRemove { volumes: vec!["data".parse().unwrap()] },
        Change::NetworkCreate(NetworkSpec {
            name: "back".parse().unwrap(),
            driver: None,
            subnet: Some("10.1.0.0/24".parse().unwrap()),
            internal: true,
            labels: BTreeMap::new(),
        }),
        Change::NetworkConnect {
            container: "a".parse().unwrap(),
            network: "back".parse().unwrap(),
            aliases: vec!["db".to_owned()],
        },
        Change::NetworkDisconnect { container: "a".parse().unwrap(), network: "back".parse().unwrap() },
        Change::NetworkRemove { networks: vec!["back".parse().unwrap()] },
        Change::ImagePull { image, platform: None },
        Change::Prune { what: PruneKind::ALL.to_vec(), sieve: Sieve::default() },
        Change::ContainerRecreate { container: "a".parse().unwrap(), image: None, patience: 60 },
    ]
}

#[test]
fn each_kind_has_its_word_its_steps_and_survives_the_journal() {
    let words: Vec<&str> = all().iter().map(Change::word).collect();
    assert_eq!(words, Change::WORDS);
    for change in all() {
        assert!(!change.steps().is_empty());
        let kept: Change = serde_json::from_value(serde_json::to_value(&change).unwrap()).unwrap();
        assert_eq!(kept, change);
        assert!(change.limit() > change.steps().iter().map(|step| step.lasts(&Before::Nothing)).sum());
    }
}

#[test]
fn a_container_is_given_its_own_time_to_stop_unless_another_is_named() {
    let before = |grace| Before::Container {
        id: "1".into(),
        state: "running".into(),
        started_at: String::new(),
        grace,
    };
    let seconds = Duration::from_secs;
    let container: ContainerName = "a".parse().unwrap();
    let own: [Step; 3] = [
        ContainerStep::Stop(container.clone(), None).into(),
        ContainerStep::Restart(container.clone(), None).into(),
        RecreateStep::Stop.into(),
    ];
    for step in own {
        assert!(step.stops_in_its_own_time());
        assert_eq!(step.lasts(&before(None)), STOP_GRACE + ENGINE_LAG);
        assert_eq!(step.lasts(&before(Some(300))), seconds(300) + ENGINE_LAG);
        assert!(step.limit(&before(Some(300))) > seconds(300) + ENGINE_LAG);
        assert_eq!(step.lasts(&before(Some(u32::MAX))), seconds(LONGEST_GRACE.into()) + ENGINE_LAG);
    }
    let named: Step = ContainerStep::Stop(container.clone(), Some(5)).into();
    assert!(!named.stops_in_its_own_time());
    assert_eq!(named.lasts(&before(Some(300))), seconds(5) + ENGINE_LAG);
    let stop =
        |grace| Change::ContainerStop { containers: vec![container.clone()], grace, mode: StopMode::Stop };
    assert!(stop(None).longest() > seconds(LONGEST_GRACE.into()));
    assert_eq!(stop(Some(5)).longest(), stop(Some(5)).limit());
}

#[test]
fn the_end_of_what_a_build_said_has_no_part_of_a_secret() {
    let Some(Change::ImageBuild(mut spec)) =
        all().into_iter().find(|change| matches!(change, Change::ImageBuild(_)))
    else {
        panic!("no build");
    };
    let secret = "first-line-of-it\nlogin password=x for all\nthe-last-line";
    spec.args = args(secret);
    let told = Change::ImageBuild(spec).hide("for all\nlogin password=x for all\nthe-last-line\ndone");
    assert_eq!(told, "for all\n***\n***\ndone");
}

#[test]
fn what_is_pruned_is_pruned_once_and_in_the_order_that_frees_most() {
    let what = vec![PruneKind::Images, PruneKind::Containers, PruneKind::Images];
    let steps = Change::Prune { what, sieve: Sieve::default() }.steps();
    let step = |kind| Step::Prune(kind, Sieve::default());
    assert_eq!(steps, [step(PruneKind::Containers), step(PruneKind::Images)]);
}

#[test]
fn the_secrets_of_a_run_are_hidden_wherever_they_stand() {
    let words = |text: &str| text.split(' ').map(ToOwned::to_owned).collect::<Vec<_>>();
    let spec = RunSpec {
        command: words("mysql --password hunter2 -pswordfish --token=abcdefgh --verbose run"),
        env: [("API_KEY".to_owned(), "opensesame".to_owned())].into(),
        ..RunSpec::of("busybox".parse().unwrap())
    };
    let run = Change::ContainerRun(Box::new(spec));
    let (masked, whole) = run.masked();
    let kept = serde_json::to_string(&masked).unwrap();
    let told = run.hide("exec: \"swordfish\": not found, hunter2, -pswordfish, opensesame");
    for secret in ["hunter2", "swordfish\"", "-pswordfish", "abcdefgh", "opensesame"] {
        assert!(!kept.contains(secret), "{secret}: {kept}");
    }
    for secret in ["hunter2", "-pswordfish", "opensesame"] {
        assert!(!told.contains(secret), "{secret}: {told}");
    }
    assert!(!whole && kept.contains("--verbose") && kept.contains("run"), "{kept}");
}
