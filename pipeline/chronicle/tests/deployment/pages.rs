//! The Markdown pages: their parts, their links, and the form of the runbooks.

use std::collections::HashSet;

use crate::{documents, files_below, read, root};

/// A fenced block of a page.
pub(crate) struct Block {
    pub(crate) language: String,
    pub(crate) text: String,
}

/// A page taken apart: its fenced blocks, and its prose without them.
pub(crate) fn take_apart(markdown: &str) -> (Vec<Block>, String) {
    let (mut blocks, mut prose) = (Vec::new(), String::new());
    let mut open: Option<Block> = None;
    for line in markdown.lines() {
        match (line.trim_start().strip_prefix("```"), &mut open) {
            (Some(language), None) => {
                open = Some(Block {
                    language: language.trim().to_owned(),
                    text: String::new(),
                });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some(block)) => block.text.extend([line, "\n"]),
            (None, None) => prose.extend([line, "\n"]),
        }
    }
    assert!(open.is_none(), "a fenced block has no end");
    (blocks, prose)
}

/// The code spans of prose.
pub(crate) fn spans(prose: &str) -> Vec<&str> {
    // Of the parts between single backticks every second one is code.
    prose
        .split("\n\n")
        .flat_map(|paragraph| paragraph.split('`').skip(1).step_by(2))
        .collect()
}

/// The targets of a page's links, those in code left out.
fn links(prose: &str) -> Vec<String> {
    let without_code: String = prose.split('`').step_by(2).collect();
    let targets = without_code
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    targets.map(str::to_owned).collect()
}

/// What a link to a heading is called, by GitHub's rule.
fn anchor(heading: &str) -> String {
    let kept = heading
        .trim()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| {
        if c == ' ' {
            '-'
        } else {
            c.to_ascii_lowercase()
        }
    })
    .collect()
}

fn anchors(markdown: &str) -> HashSet<String> {
    let (_, prose) = take_apart(markdown);
    prose
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| anchor(line.trim_start_matches('#')))
        .collect()
}

#[test]
fn every_relative_link_leads_somewhere() {
    let mut broken = Vec::new();
    for page in documents() {
        let (_, prose) = take_apart(&read(&page));
        for link in links(&prose) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (path, heading) = link.split_once('#').unwrap_or((&link, ""));
            let folder = root()
                .join(&page)
                .parent()
                .expect("a page lies in a folder")
                .to_owned();
            let target = if path.is_empty() {
                root().join(&page)
            } else {
                folder.join(path)
            };
            let there = target.exists()
                && (heading.is_empty()
                    || std::fs::read_to_string(&target)
                        .is_ok_and(|text| anchors(&text).contains(heading)));
            if !there {
                broken.push(format!("{page}: {link}"));
            }
        }
    }
    assert!(
        broken.is_empty(),
        "links that lead nowhere:\n{}",
        broken.join("\n")
    );
}

#[test]
fn every_runbook_has_the_same_headings_and_is_in_the_index() {
    let headings = [
        "Symptoms",
        "Impact",
        "Diagnosis",
        "Mitigation",
        "Verification",
        "Prevention",
    ];
    let index = read("runbooks/README.md");
    let pages = files_below("runbooks", ".md");
    assert!(pages.len() > 10, "only {pages:?}");
    for page in pages {
        let name = page.trim_start_matches("runbooks/");
        if name == "README.md" {
            continue;
        }
        assert!(
            index.contains(&format!("({name})")),
            "runbooks/README.md does not lead to {name}"
        );
        let text = read(&page);
        let (_, prose) = take_apart(&text);
        let own: Vec<&str> = prose
            .lines()
            .filter_map(|line| line.strip_prefix("## "))
            .collect();
        assert_eq!(own, headings, "{page}");
    }
}

#[test]
fn the_license_is_the_whole_apache_license() {
    let license = read("LICENSE");
    assert!(license.contains("Apache License") && license.contains("Version 2.0, January 2004"));
    assert!(license.contains("END OF TERMS AND CONDITIONS"));
    assert_eq!(license.len(), 11_358, "as published on apache.org");
    assert_eq!(env!("CARGO_PKG_LICENSE"), "Apache-2.0");
}

#[test]
fn the_changelog_knows_the_version() {
    let version = format!("[{}]", env!("CARGO_PKG_VERSION"));
    let changelog = read("CHANGELOG.md");
    assert!(changelog.contains("## [Unreleased]"));
    assert!(
        changelog.contains(&version),
        "CHANGELOG.md has nothing about {version}"
    );
}

#[test]
fn pages_are_taken_apart_as_meant() {
    let (blocks, prose) =
        take_apart("a `b` [c](d.md#e)\n```sh\nx `y`\n```\n# An *odd* `heading`, no?\n");
    assert_eq!(
        (
            blocks.len(),
            blocks[0].language.as_str(),
            blocks[0].text.as_str()
        ),
        (1, "sh", "x `y`\n")
    );
    assert_eq!(spans(&prose), ["b", "heading"]);
    assert_eq!(links(&prose), ["d.md#e"]);
    assert_eq!(anchor(" An *odd* `heading`, no?"), "an-odd-heading-no");
}
