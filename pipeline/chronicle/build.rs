//! Bakes in which commit this program is of, and how it was built: a figure that was measured is worth little without.
//! Without git, or outside of a checkout, it is unknown. A debug build does not look: its figures are worth nothing, and
//! each commit would make it compile anew.

use std::process::Command;

/// What the program is made of, as paths from here: what else lies about changed does not matter.
const SOURCES: [&str; 12] = [
    "src",
    "../engine/src",
    "../transport/src",
    "../../Cargo.lock",
    "../../Cargo.toml",
    "../../ledger/src",
    "../../store/src",
    "../../sources/src",
    "../../operators/src",
    "../../sinks/src",
    "../../benches/src",
    "../../migrations",
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let profile = std::env::var("PROFILE").unwrap_or_else(|_| "unknown".to_owned());
    let commit = if profile == "debug" {
        "not looked up".to_owned()
    } else {
        watch_sources();
        commit()
    };
    println!("cargo::rustc-env=BUILD_COMMIT={commit}");
    println!("cargo::rustc-env=BUILD_PROFILE={profile}");
    println!("cargo::rustc-env=BUILD_COMPILER={}", compiler());
}

fn watch_sources() {
    for path in SOURCES {
        println!("cargo::rerun-if-changed={path}");
    }
    // A commit, a checkout: both are written down there.
    if let Some(path) = git(&["rev-parse", "--git-path", "logs/HEAD"])
        && std::path::Path::new(&path).exists()
    {
        println!("cargo::rerun-if-changed={path}");
    }
}

fn commit() -> String {
    let Some(head) = git(&["rev-parse", "--short=12", "HEAD"]).filter(|head| !head.is_empty())
    else {
        return "unknown".to_owned();
    };
    let changed = git(&[&["status", "--porcelain", "--"], &SOURCES[..]].concat());
    if changed.is_none_or(|changed| changed.is_empty()) {
        head
    } else {
        format!("{head}, and changes that were not committed")
    }
}

fn compiler() -> String {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    said(Command::new(rustc).arg("--version")).unwrap_or_else(|| "unknown".to_owned())
}

fn git(arguments: &[&str]) -> Option<String> {
    said(Command::new("git").args(arguments))
}

fn said(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|it| it.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
