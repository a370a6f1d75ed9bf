//! docker-compose.yml, which cannot be run everywhere.

use std::path::Path;

use yaml_serde::Value;

use crate::{read, root};

fn compose() -> Value {
    yaml_serde::from_str(&read("docker-compose.yml")).expect("docker-compose.yml is YAML")
}

/// Name and definition of each service.
fn services() -> Vec<(String, Value)> {
    let compose = compose();
    let services = compose["services"]
        .as_mapping()
        .expect("there are services");
    services
        .iter()
        .map(|(name, service)| (text(name), service.clone()))
        .collect()
}

fn service(name: &str) -> Value {
    compose()["services"][name].clone()
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        other => panic!("{other:?} is no text"),
    }
}

fn texts(value: &Value) -> Vec<String> {
    value
        .as_sequence()
        .into_iter()
        .flatten()
        .map(text)
        .collect()
}

fn runs_chronicle(service: &Value) -> bool {
    service["image"]
        .as_str()
        .is_some_and(|image| image.starts_with("chronicle:"))
}

/// Whether it does its work and ends; others wait for that.
fn is_one_shot(name: &str) -> bool {
    services().iter().any(|(_, other)| {
        other["depends_on"][name]["condition"] == "service_completed_successfully"
    })
}

/// The arguments of each service that is ours.
pub(crate) fn command_lines() -> Vec<Vec<String>> {
    let ours = services()
        .into_iter()
        .filter(|(_, service)| runs_chronicle(service));
    ours.map(|(_, service)| texts(&service["command"]))
        .collect()
}

#[test]
fn everything_that_is_published_is_published_on_loopback_and_once() {
    let mut published = Vec::new();
    for (name, service) in services() {
        assert!(service["network_mode"] != "host", "{name}");
        for port in texts(&service["ports"]) {
            let parts: Vec<&str> = port.split(':').collect();
            assert!(
                matches!(parts.as_slice(), ["127.0.0.1", _, _]),
                "{name} publishes {port} to more than this machine"
            );
            assert!(
                !published.contains(&parts[1].to_owned()),
                "{port} is published twice"
            );
            published.push(parts[1].to_owned());
        }
    }
    assert_eq!(published.len(), 6);
}

#[test]
fn every_image_is_pinned_and_ours_is_built_here() {
    for (name, service) in services() {
        let image = text(&service["image"]);
        let (_, tag) = image
            .rsplit_once(':')
            .unwrap_or_else(|| panic!("{name}: {image} has no tag"));
        assert!(
            !tag.contains("latest") && tag.matches('.').count() + tag.matches("-2").count() >= 1,
            "{name}: {image} is not pinned"
        );
        if runs_chronicle(&service) {
            assert_eq!(tag, env!("CARGO_PKG_VERSION"), "{name}");
            assert_eq!(text(&service["build"]), ".", "{name}");
        } else {
            assert!(service["build"].is_null(), "{name}");
        }
    }
}

#[test]
fn the_servers_are_those_that_everything_is_tested_on() {
    let pinned = |file: &str| {
        let text = read(file);
        let line = text
            .lines()
            .find(|line| line.contains("=="))
            .expect("a wheel is pinned")
            .to_owned();
        let version = line.split("==").nth(1).expect("a version follows");
        version
            .split_whitespace()
            .next()
            .expect("a version is a word")
            .to_owned()
    };
    let nats = pinned("servers/wheels/nats-server.txt");
    assert_eq!(
        text(&service("nats")["image"]),
        format!("nats:{nats}-alpine")
    );
    let postgres = pinned("servers/wheels/postgres.txt");
    let major = postgres
        .split('.')
        .next()
        .expect("a version has a first number");
    assert!(
        text(&service("postgres")["image"]).starts_with(&format!("postgres:{major}.")),
        "the wheel is {postgres}"
    );
}

#[test]
fn every_service_has_a_health_check_or_ends() {
    for (name, service) in services() {
        let restart = text(&service["restart"]);
        if is_one_shot(&name) {
            assert_eq!(restart, "no", "{name} would run for ever");
            assert!(service["healthcheck"].is_null(), "{name}");
        } else {
            assert_eq!(restart, "unless-stopped", "{name}");
            assert_eq!(
                texts(&service["healthcheck"]["test"])[0],
                "CMD",
                "{name} has no health check"
            );
            assert!(service["stop_grace_period"].is_string(), "{name}");
        }
    }
}

#[test]
fn every_service_waits_for_what_it_needs() {
    for (name, service) in services() {
        let Some(needs) = service["depends_on"].as_mapping() else {
            continue;
        };
        for (needed, how) in needs {
            let needed = text(needed);
            assert!(
                !compose()["services"][&needed].is_null(),
                "{name} waits for {needed}, which is not there"
            );
            let wanted = if is_one_shot(&needed) {
                "service_completed_successfully"
            } else {
                "service_healthy"
            };
            assert_eq!(text(&how["condition"]), wanted, "{name} waits for {needed}");
        }
    }
    for (name, needed) in [
        ("migrate", "cockroachdb"),
        ("migrate", "postgres"),
        ("chronicle", "migrate"),
        ("chronicle", "nats"),
    ] {
        assert!(
            !service(name)["depends_on"][needed].is_null(),
            "{name} does not wait for {needed}"
        );
    }
}

#[test]
fn nobody_has_more_rights_or_room_than_he_needs() {
    for (name, service) in services() {
        // The image of chronicle says its user itself.
        let user = service["user"].as_str().unwrap_or("the image's");
        let is_root = user.starts_with('0') || (user == "the image's" && !runs_chronicle(&service));
        assert_eq!(is_root, name == "ownership", "{name} runs as {user}");
        assert_eq!(texts(&service["cap_drop"]), ["ALL"], "{name}");
        assert_eq!(
            texts(&service["security_opt"]),
            ["no-new-privileges:true"],
            "{name}"
        );
        assert!(
            service["mem_limit"].is_string(),
            "{name} may use all memory"
        );
        assert!(
            service["logging"]["options"]["max-size"].is_string(),
            "{name} may fill the disk with its log"
        );
        assert!(service["privileged"].is_null(), "{name}");
    }
}

#[test]
fn what_must_last_lies_in_volumes() {
    let compose = compose();
    for (name, folder) in [
        ("cockroachdb", "/cockroach/cockroach-data"),
        ("postgres", "/var/lib/postgresql"),
        ("nats", "/data"),
    ] {
        assert_eq!(
            texts(&service(name)["volumes"]),
            [format!("{name}:{folder}")]
        );
        assert!(
            compose["volumes"]
                .as_mapping()
                .is_some_and(|volumes| volumes.contains_key(name))
        );
    }
    let arguments = texts(&service("cockroachdb")["command"]).join(" ");
    assert!(
        arguments.contains("--store=/cockroach/cockroach-data"),
        "{arguments}"
    );
    assert!(texts(&service("nats")["command"]).contains(&"--store_dir=/data".to_owned()));
}

#[test]
fn the_application_has_the_application_s_role() {
    let url = text(&service("chronicle")["environment"]["CHRONICLE_EVENT_STORE_URL"]);
    assert!(
        url.starts_with(&format!("postgres://{}@", store::migrate::APPLICATION_ROLE)),
        "{url}"
    );
    for name in ["chronicle", "migrate"] {
        let environment = service(name)["environment"].clone();
        for (_, value) in environment.as_mapping().expect("it has an environment") {
            let url = text(value);
            let host = url
                .rsplit('@')
                .next()
                .expect("a URL has an end")
                .trim_start_matches("nats://");
            let host = host
                .split(':')
                .next()
                .expect("a host comes before its port");
            assert!(
                !service(host).is_null(),
                "{name}: {url} leads to no service"
            );
        }
    }
}

#[test]
fn the_health_check_asks_where_chronicle_listens() {
    let service = service("chronicle");
    let command = texts(&service["command"]);
    let address = &command[command
        .iter()
        .position(|word| word == "--http")
        .expect("it serves readiness")
        + 1];
    let port = address.rsplit(':').next().expect("an address has a port");
    let check = texts(&service["healthcheck"]["test"]).join(" ");
    assert!(
        check.contains(&format!("/dev/tcp/127.0.0.1/{port} ")) && check.contains("GET /readyz "),
        "{check}"
    );
    assert!(
        texts(&service["ports"])
            .iter()
            .any(|published| published.ends_with(&format!(":{port}")))
    );
}

#[test]
fn a_stop_leaves_time_to_drain() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_chronicle"))
        .args(["run", "--help"])
        .env_remove("CHRONICLE_DRAIN_SECONDS_MAX")
        .output()
        .expect("chronicle can be started");
    let help = String::from_utf8(output.stdout).expect("help is text");
    let behind = help
        .split("--drain-seconds-max")
        .nth(1)
        .expect("there is such a flag");
    let default = behind
        .split("[default: ")
        .nth(1)
        .and_then(|rest| rest.split(']').next())
        .expect("it has a default");
    let drain: u64 = default.parse().expect("it is a number");
    let grace = text(&service("chronicle")["stop_grace_period"]);
    let grace: u64 = grace
        .trim_end_matches('s')
        .parse()
        .expect("it is in seconds");
    assert!(
        grace > drain,
        "killed after {grace} s, and draining takes up to {drain} s"
    );
}

#[test]
fn the_files_that_it_names_exist() {
    let words = read("docker-compose.yml");
    let paths = words
        .split_whitespace()
        .map(|word| word.trim_end_matches(['.', ':', ',']));
    let named: Vec<&str> = paths
        .filter(|word| {
            word.starts_with("docs/")
                || word.starts_with("runbooks/")
                || word.starts_with("pipeline/")
        })
        .collect();
    assert!(named.len() >= 3, "{named:?}");
    for path in named {
        assert!(
            Path::new(&root()).join(path).exists(),
            "{path} does not exist"
        );
    }
}
