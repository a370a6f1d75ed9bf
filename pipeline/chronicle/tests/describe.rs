//! The dataflow prints itself: the prints are golden, well-formed, and need no server.
//!
//! A change of the dataflow is a change of these files: `chronicle describe --form FORM > tests/golden/describe.FORM`.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use support::text;

/// What `chronicle describe` prints, with no server in reach and no environment that could name one.
fn describe(arguments: &[&str]) -> String {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let output = Command::new(env!("CARGO_BIN_EXE_chronicle"))
        .arg("describe")
        .args(arguments)
        .env_clear()
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .output()
        .expect("chronicle can be started");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "", "there is nothing to say about it");
    text(&output.stdout)
}

fn is_golden(form: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/describe.{form}"));
    let golden = std::fs::read_to_string(&file)
        .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let printed = describe(&["--form", form]);
    assert!(
        printed == golden,
        "the dataflow is not the one in {}; if it should be, write it there: chronicle describe --form {form}\n{printed}",
        file.display()
    );
}

#[test]
fn the_text_is_golden() {
    is_golden("text");
    assert_eq!(
        describe(&[]),
        describe(&["--form", "text"]),
        "it is the default"
    );
}

#[test]
fn the_dot_is_golden() {
    is_golden("dot");
}

#[test]
fn the_mermaid_is_golden() {
    is_golden("mermaid");
}

#[test]
fn the_json_is_golden() {
    is_golden("json");
    assert_eq!(
        describe(&["-o", "json"]),
        describe(&["--form", "json"]),
        "it is what -o json means"
    );
}

/// The names of the nodes, and the edges between them.
type Graph = (Vec<String>, Vec<(String, String)>);

/// Each pipeline's nodes and edges, from the JSON.
fn graph(arguments: &[&str]) -> BTreeMap<String, Graph> {
    let printed = describe(&[&["--form", "json"], arguments].concat());
    let pipelines: Vec<Value> = serde_json::from_str(&printed).expect("it is a JSON array");
    let name = |value: &Value| value.as_str().expect("a name is a string").to_owned();
    let list = |value: &Value| value.as_array().expect("there is a list").clone();
    let graph = pipelines.iter().map(|pipeline| {
        let nodes = list(&pipeline["nodes"])
            .iter()
            .map(|node| name(&node["name"]))
            .collect();
        let edges = list(&pipeline["edges"])
            .iter()
            .map(|edge| (name(&edge["from"]), name(&edge["to"])))
            .collect();
        (name(&pipeline["pipeline"]), (nodes, edges))
    });
    graph.collect()
}

#[test]
fn every_node_is_there_once_and_every_edge_joins_two_of_them() {
    for arguments in [&[][..], &["--partitions", "3"]] {
        for (pipeline, (nodes, edges)) in graph(arguments) {
            let names: BTreeSet<&String> = nodes.iter().collect();
            assert_eq!(
                names.len(),
                nodes.len(),
                "{pipeline}: a name stands there twice"
            );
            for (from, to) in &edges {
                assert!(
                    names.contains(from) && names.contains(to),
                    "{pipeline}: {from} -> {to}"
                );
            }
            // Everything but the source is fed by something.
            let fed: BTreeSet<&String> = edges.iter().map(|(_, to)| to).collect();
            assert_eq!(
                fed.len() + 1,
                names.len(),
                "{pipeline}: not all of it hangs together"
            );
        }
    }
}

#[test]
fn a_partition_is_a_pipeline_of_its_own() {
    let pipelines: Vec<String> = graph(&["--partitions", "3"]).into_keys().collect();
    let others = [
        "comparison",
        "expiry",
        "intake.0",
        "intake.1",
        "intake.2",
        "projection.account_balance",
        "projection.daily_totals",
        "projection.holds",
        "projection.transactions",
        "projection.transfers",
    ];
    assert_eq!(pipelines, others);
}

/// The text between quotes, which may be escaped, taken out of a line.
fn without_labels(line: &str) -> String {
    let mut rest = String::new();
    let mut quoted = false;
    let mut escaped = false;
    for character in line.chars() {
        match character {
            '"' if !escaped => quoted = !quoted,
            _ if !quoted => rest.push(character),
            _ => {}
        }
        escaped = character == '\\' && !escaped;
    }
    assert!(!quoted, "a quote is not closed: {line}");
    rest
}

#[test]
fn the_dot_and_the_mermaid_close_what_they_open_and_draw_every_edge() {
    let graph = graph(&[]);
    let edges: usize = graph.values().map(|(_, edges)| edges.len()).sum();
    let nodes: usize = graph.values().map(|(nodes, _)| nodes.len()).sum();

    let dot = describe(&["--form", "dot"]);
    let mut depth = 0_usize;
    let mut drawn = (0, 0);
    for line in dot.lines() {
        let line = without_labels(line);
        depth += line.matches('{').count();
        depth = depth
            .checked_sub(line.matches('}').count())
            .expect("nothing is closed that is not open");
        drawn.0 += usize::from(line.contains("[label="));
        drawn.1 += usize::from(line.contains("->"));
    }
    assert_eq!((depth, drawn), (0, (nodes, edges)), "{dot}");

    let mermaid = describe(&["--form", "mermaid"]);
    let mut lines = mermaid.lines().map(without_labels);
    assert_eq!(lines.next().as_deref(), Some("flowchart LR"));
    let mut known = BTreeSet::new();
    let mut open = 0_usize;
    let mut drawn = 0;
    for line in lines {
        let line = line.trim().to_owned();
        if line.starts_with("subgraph ") {
            open += 1;
        } else if line == "end" {
            open = open
                .checked_sub(1)
                .expect("nothing is closed that is not open");
        } else if let Some((from, to)) = line
            .split_once(" --> ")
            .or_else(|| line.split_once(" -.-> "))
        {
            assert!(
                known.contains(from) && known.contains(to),
                "{line}: not drawn before"
            );
            drawn += 1;
        } else {
            let end = line
                .find(['[', '(', '{', '/'])
                .unwrap_or_else(|| panic!("{line:?} is no node"));
            assert!(known.insert(line[..end].to_owned()), "{line}: drawn twice");
        }
    }
    assert_eq!((open, known.len(), drawn), (0, nodes, edges), "{mermaid}");
}

#[test]
fn the_picture_in_the_readme_shows_every_node_in_its_order() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = std::fs::read_to_string(readme).expect("there is a README");
    let picture = readme.split("```").nth(1).expect("it has a picture");
    let graph = graph(&[]);
    let mut shown = picture;
    for node in &graph["intake"].0[1..5] {
        let at = shown
            .find(node.as_str())
            .unwrap_or_else(|| panic!("{node} is not there, or not in its place"));
        shown = &shown[at..];
    }
    for (pipeline, (nodes, _)) in graph
        .iter()
        .filter(|(name, _)| name.starts_with("projection."))
    {
        let sink = nodes.last().expect("a pipeline has nodes");
        assert!(picture.contains(sink.as_str()), "{pipeline} is not there");
    }
    for node in &graph["expiry"].0 {
        assert!(picture.contains(node.as_str()), "{node} is not there");
    }
    for stream in ["LEDGER_COMMANDS", "LEDGER_EVENTS", "LEDGER_DEAD_LETTERS"] {
        assert!(picture.contains(stream), "{stream} is not there");
    }
}
