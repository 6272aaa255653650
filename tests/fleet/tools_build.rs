//! Images built on real engines by the hosts' own `docker build`.

use serde_json::{Value, json};

use crate::support::trials::Trial;
use crate::support::{Fleet, IMAGE, Service, ServiceConfig};
use crate::trials;

const SECRET: &str = "correct-horse-battery-staple";

pub fn trials() -> Vec<Trial> {
    trials![an_image_is_built_from_a_directory_of_the_host_when_that_is_agreed_to => 180]
}

async fn an_image_is_built_from_a_directory_of_the_host_when_that_is_agreed_to(fleet: &Fleet) {
    let host = fleet.host("h1");
    let dockerfile = format!(
        "FROM {IMAGE} AS base\nARG API_TOKEN\nARG GREETING=none\nCOPY . /app\nRUN echo told $API_TOKEN; echo $GREETING > /app/greeting\n\
         LABEL made=here\nFROM base AS last\nRUN exit 3\n"
    );
    let _ = host.try_docker(&["rmi", "-f", "built:1", "built:2"]);
    host.exec(&["mkdir", "-p", "/srv/app/deploy"]);
    for (path, text) in [
        ("deploy/Dockerfile", dockerfile.as_str()),
        (".dockerignore", "private\n"),
        ("private", "x"),
        ("public", "y"),
    ] {
        host.exec(&["sh", "-c", &format!("printf '%s' \"$1\" > /srv/app/{path}"), "sh", text]);
    }
    let service = Service::start(&ServiceConfig::none(fleet).with(host, &[]));
    service.wait_ready(&["h1"]).await;
    let build = json!({
        "host": "h1", "context": "/srv/app", "dockerfile": "deploy/Dockerfile", "tags": ["built:1", "built:2"],
        "args": {"API_TOKEN": SECRET, "GREETING": "it's a 'word'"}, "target": "base", "wait": 120,
    });
    // What is in a directory of the host would be in the image.
    let plan = service.structured("image_build", build.clone()).await;
    assert_eq!(plan["state"], "planned", "{plan}");
    assert!(plan["note"].as_str().unwrap().contains("/srv/app"), "{plan}");
    assert!(host.try_docker(&["image", "inspect", "built:1"]).is_err());
    let job = service.agreed("image_build", build.clone()).await;
    assert_eq!(job["state"], "done", "{job}");
    let result = &job["results"][0];
    assert_eq!(result["id"], host.docker(&["image", "inspect", "-f", "{{.Id}}", "built:2"]), "{job}");
    assert!(result["log"].as_str().unwrap().contains("Successfully tagged built:2"), "{job}");
    let told = host.docker(&["run", "--rm", "built:1", "sh", "-c", "ls -a /app; cat /app/greeting"]);
    assert_eq!(
        told, ".\n..\n.dockerignore\ndeploy\ngreeting\npublic\nit's a 'word'",
        "the ignored file is not in it"
    );
    assert!(!job.to_string().contains(SECRET) && !service.log().join("\n").contains(SECRET));
    // A build that fails says why, and is no image.
    let mut last = build.clone();
    (last["target"], last["tags"]) = (json!("last"), json!(["failed:1"]));
    let failed = service.agreed("image_build", last).await;
    assert_eq!(failed["state"], "failed", "{failed}");
    assert_eq!(host.docker(&["ps", "-a"]).lines().count(), 1, "nor a container");
    let note = failed["note"].as_str().unwrap();
    assert!(note.contains("non-zero code: 3") && !note.contains(SECRET), "{failed}");
    let mut nowhere = build;
    nowhere["context"] = json!("/srv/nowhere");
    let nowhere: Value = service.agreed("image_build", nowhere).await;
    assert!(nowhere["note"].as_str().unwrap().contains("/srv/nowhere"), "{nowhere}");
}
