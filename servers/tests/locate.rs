//! Where programs are found, what is passed over, and a cache that mends itself.
#![allow(clippy::unwrap_used, reason = "these are tests")]

mod actor;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use actor::{everything, said, say};
use servers::locate;

#[test]
#[ignore = "played by the other tests, as a process of its own"]
fn actor() {
    tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
    let found = match actor::part().as_deref() {
        Some("find nats-server") => locate::nats_server(None),
        Some("find postgres") => locate::postgres(None),
        Some("find cockroach") => locate::cockroach(None),
        _ => return,
    };
    match found {
        Ok(found) => {
            say(format!("{:?} {}", found.origin, found.version));
            say(found.path.display());
        }
        Err(error) => error.to_string().lines().for_each(say),
    }
}

/// A machine of a test's own: a PATH with nothing on it, and an empty cache.
struct Machine {
    root: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(root.path().join("bin")).unwrap();
        Self { root }
    }

    /// Puts a program on the PATH.
    fn with(self, name: &str, script: &str) -> Self {
        let path = self.bin().join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    /// Puts the Python of the real machine on the PATH.
    fn with_python(self) -> Self {
        let output = Command::new("python3")
            .args(["-c", "import sys; print(sys.executable)"])
            .output()
            .unwrap();
        let python = String::from_utf8(output.stdout).unwrap();
        self.with("python3", &format!("exec '{}' \"$@\"", python.trim()))
    }

    fn bin(&self) -> PathBuf {
        self.root.path().join("bin")
    }

    fn command(&self, part: &str) -> Command {
        let mut command = actor::playing(part);
        command
            .env("PATH", self.bin())
            .env(locate::CACHE_VARIABLE, self.root.path().join("cache"))
            .env_remove(locate::NATS_SERVER_VARIABLE)
            .env_remove(locate::POSTGRES_VARIABLE)
            .env_remove(locate::COCKROACH_VARIABLE)
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        command
    }

    fn play(&self, part: &str) -> Output {
        let output = self.command(part).output().unwrap();
        assert!(output.status.success(), "{}", everything(&output));
        output
    }
}

/// The path of the wheel's nats-server that was found.
#[track_caller]
fn wheel_found(output: &Output) -> PathBuf {
    let said = said(output);
    assert_eq!(said[0], "Wheel 2.15", "{}", everything(output));
    PathBuf::from(&said[1])
}

fn fetches(output: &Output) -> usize {
    everything(output).matches("fetching nats-server").count()
}

#[test]
fn a_wheel_is_fetched_once_and_fetched_anew_when_it_is_damaged() {
    let machine = Machine::new().with_python();

    // Two at once.
    let both = [(), ()].map(|()| machine.command("find nats-server").spawn().unwrap());
    let outputs = both.map(|process| process.wait_with_output().unwrap());
    let path = wheel_found(&outputs[0]);
    assert_eq!(wheel_found(&outputs[1]), path);
    assert_eq!(outputs.iter().map(fetches).sum::<usize>(), 1);

    // From the cache.
    assert_eq!(fetches(&machine.play("find nats-server")), 0);

    // A program of the right length that is none.
    let length = usize::try_from(fs::metadata(&path).unwrap().len()).unwrap();
    fs::write(&path, vec![b'x'; length]).unwrap();
    let output = machine.play("find nats-server");
    assert_eq!((wheel_found(&output), fetches(&output)), (path.clone(), 1));

    // A file that was cut off.
    fs::write(&path, "short").unwrap();
    let output = machine.play("find nats-server");
    assert_eq!((wheel_found(&output), fetches(&output)), (path, 1));
}

#[test]
fn an_old_server_on_the_path_is_passed_over_and_the_error_tells_what_was_tried() {
    let machine = Machine::new().with("nats-server", "echo nats-server: v2.9.10");
    let text = said(&machine.play("find nats-server")).join("\n");
    for expected in [
        "no usable nats-server",
        "version 2.9, and 2.11 or newer",
        "no python3",
        "docker compose up",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[test]
fn a_new_server_on_the_path_is_used() {
    let machine = Machine::new().with("nats-server", "echo nats-server: v2.11.0");
    let said = said(&machine.play("find nats-server"));
    assert_eq!(
        said,
        [
            "Installed 2.11",
            machine.bin().join("nats-server").to_str().unwrap()
        ]
    );
}

#[test]
fn a_named_program_is_used_or_refused_and_nothing_else_is_tried() {
    let machine = Machine::new().with("my-nats", "echo nats-server: v2.12.1");
    let play = |path: &Path| {
        let mut command = machine.command("find nats-server");
        said(
            &command
                .env(locate::NATS_SERVER_VARIABLE, path)
                .output()
                .unwrap(),
        )
    };
    assert_eq!(play(&machine.bin().join("my-nats"))[0], "Named 2.12");
    let refusal = play(Path::new("/nowhere/nats-server")).join("\n");
    assert!(
        refusal.contains(locate::NATS_SERVER_VARIABLE) && refusal.contains("/nowhere/nats-server"),
        "{refusal}"
    );
}

#[test]
fn a_postgres_on_the_path_that_cannot_create_a_database_is_passed_over() {
    let machine = Machine::new()
        .with_python()
        .with("postgres", "echo 'postgres (PostgreSQL) 99.1'")
        .with(
            "initdb",
            "echo 'initdb: file share/postgres.bki does not exist'; exit 1",
        );
    let mut command = machine.command("find postgres");
    // Whatever is found instead, it need not be fetched again for this test.
    let output = command.env_remove(locate::CACHE_VARIABLE).output().unwrap();
    let said = said(&output);
    assert!(
        !said[0].contains("99.1") && Path::new(&said[1]).join("initdb").is_file(),
        "{}",
        everything(&output)
    );
}

#[test]
fn cockroach_is_looked_up_and_never_fetched() {
    let machine = Machine::new().with_python();
    let text = said(&machine.play("find cockroach")).join("\n");
    assert!(
        text.contains("the PATH: it has no cockroach") && text.contains("docker compose up"),
        "{text}"
    );
    let machine = machine.with(
        "cockroach",
        "printf 'cockroach version details:\\nBuild Tag: v21.1.7\\n'",
    );
    assert_eq!(said(&machine.play("find cockroach"))[0], "Installed 21.1");
}
