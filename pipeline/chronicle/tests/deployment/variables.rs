//! Environment variables and flags: named where they exist, and documented where they are.

use std::collections::BTreeSet;

use crate::{documents, files_below, read};

const PREFIX: &str = "CHRONICLE_";

/// The variables that a text names.
fn named(text: &str) -> BTreeSet<String> {
    let starts = text.match_indices(PREFIX).map(|(at, _)| at);
    // Part of a longer name is no name.
    let whole = starts.filter(|at| {
        *at == 0
            || !text.as_bytes()[at - 1].is_ascii_alphanumeric() && text.as_bytes()[at - 1] != b'_'
    });
    let name = |at: usize| {
        let rest = &text[at..];
        let end = rest
            .find(|c: char| !c.is_ascii_uppercase() && !c.is_ascii_digit() && c != '_')
            .unwrap_or(rest.len());
        rest[..end].trim_end_matches('_').to_owned()
    };
    whole
        .map(name)
        .filter(|name| name.len() > PREFIX.len())
        .collect()
}

/// The variables that the code names, in folders whose path contains `part`.
fn in_code(part: &str) -> BTreeSet<String> {
    let folders = [
        "ledger",
        "store",
        "pipeline",
        "sources",
        "operators",
        "sinks",
        "servers",
        "benches",
    ];
    let files = folders.iter().flat_map(|folder| files_below(folder, ".rs"));
    let chosen = files.filter(|path| path.contains(part) && !path.contains("tests/deployment/"));
    chosen.flat_map(|path| named(&read(&path))).collect()
}

#[test]
fn every_variable_that_is_named_exists() {
    let existing = in_code("");
    assert!(existing.len() > 15, "only {existing:?}");
    for file in documents()
        .iter()
        .map(String::as_str)
        .chain(["docker-compose.yml", "Dockerfile"])
    {
        for variable in named(&read(file)) {
            assert!(
                existing.contains(&variable),
                "{file} names {variable}, which nothing reads"
            );
        }
    }
}

#[test]
fn every_variable_that_exists_is_documented() {
    let documented = named(&read("docs/operations.md"));
    let missing: Vec<String> = in_code("/src/").difference(&documented).cloned().collect();
    assert!(
        missing.is_empty(),
        "docs/operations.md does not mention {missing:?}"
    );
}

/// The help of the program, or of one of its subcommands.
fn help(subcommand: &[&str]) -> String {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_chronicle"))
        .args(subcommand)
        .arg("--help")
        .output()
        .expect("chronicle can be started");
    assert!(output.status.success(), "{subcommand:?}");
    String::from_utf8(output.stdout).expect("help is text")
}

/// The subcommands that a help text lists.
fn subcommands(help: &str) -> Vec<String> {
    let listed = help.split("\nCommands:\n").nth(1).unwrap_or_default();
    let lines = listed.lines().take_while(|line| line.starts_with("  "));
    let names = lines
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next());
    names
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_flag_is_documented() {
    let page = read("docs/operations.md");
    let (mut missing, mut seen) = (BTreeSet::new(), 0);
    let mut open = vec![Vec::new()];
    while let Some(path) = open.pop() {
        let words: Vec<&str> = path.iter().map(String::as_str).collect();
        let help = help(&words);
        for subcommand in subcommands(&help) {
            open.push([path.clone(), vec![subcommand]].concat());
        }
        let lines = help
            .lines()
            .map(str::trim_start)
            .filter(|line| line.starts_with('-'));
        for line in lines {
            let flag = line.split([' ', ',']).find(|word| word.starts_with("--"));
            let Some(flag) = flag.filter(|flag| !["--help", "--version"].contains(flag)) else {
                continue;
            };
            seen += 1;
            if !page.contains(&format!("`{flag}`")) && !page.contains(&format!("`{flag} ")) {
                missing.insert(format!("{} {flag}", path.join(" ")));
            }
        }
    }
    assert!(seen > 100, "only {seen} flags");
    assert!(
        missing.is_empty(),
        "docs/operations.md does not mention {missing:?}"
    );
}
