//! docs/operations.md has every metric there is, with its type and its labels, and no other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use async_nats::HeaderMap;

use crate::exposition::Scrape;
use crate::scrape;
use crate::support::Ledger;
use crate::support::publisher::Publisher;

/// The section about metrics.
fn section() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operations.md");
    let page = std::fs::read_to_string(page).expect("the page is there");
    let section = page
        .split("\n## Metrics\n")
        .nth(1)
        .expect("it has a section about metrics");
    let end = section.find("\n## ").unwrap_or(section.len());
    section[..end].to_owned()
}

/// The rows of its table: type and labels by name.
fn documented(section: &str) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let table = section
        .split("| name | type | labels | meaning |\n")
        .nth(1)
        .expect("it has a table of metrics");
    let rows = table
        .lines()
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("| `chronicle_"));
    rows.map(|row| {
        let mut cells = row.split('|').map(str::trim);
        let name = cells.next().unwrap_or_default().trim_end_matches('`');
        let kind = cells.next().expect("a metric has a type");
        let labels = cells.next().expect("it has a cell for labels");
        let labels = labels.split('`').skip(1).step_by(2).map(str::to_owned);
        assert!(
            cells.next().is_some_and(|meaning| meaning.len() > 10),
            "{row} says nothing"
        );
        (
            format!("chronicle_{name}"),
            (kind.to_owned(), labels.collect()),
        )
    })
    .collect()
}

/// What is served: the same.
fn served(scrape: &Scrape) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let families = scrape.families.iter();
    families
        .map(|(name, family)| {
            let labels = family
                .samples
                .iter()
                .flat_map(|sample| sample.labels.keys());
            let labels = labels.filter(|label| *label != "le").cloned();
            (name.clone(), (family.kind.clone(), labels.collect()))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_has_exactly_the_metrics_that_are_served() {
    let (ledger, process) = Ledger::running().await;
    let publisher = Publisher::connect(&ledger).await;
    let number = publisher
        .ask_with("ledger.commands.A", HeaderMap::new(), "no command")
        .await;
    publisher.answer(number).await;
    crate::until(
        &process,
        "the lag and the comparison to be known",
        |scrape| {
            let is_known = scrape.by("chronicle_projection_lag_up", "projection");
            is_known.len() == crate::PROJECTIONS.len()
                && is_known.values().all(|known| *known == 1.0)
                && !scrape.by("chronicle_divergences", "place").is_empty()
        },
    )
    .await;
    let mut served = served(&scrape(&process).await);
    let section = section();
    let documented = documented(&section);
    assert!(served.len() > 30, "only {served:?}");

    // Nothing in the topology skips a record before its end, so there is no sample to take the labels from.
    let skipped = served
        .get_mut("chronicle_node_skipped_records_total")
        .expect("it is served");
    assert_eq!(skipped.1, BTreeSet::new());
    skipped.1 = ["node", "pipeline", "reason"].map(str::to_owned).into();
    assert_eq!(documented, served);

    // What the alerts are made of exists, too.
    let words = section.split(|char: char| !char.is_ascii_alphanumeric() && char != '_');
    for word in words.filter(|word| word.starts_with("chronicle_")) {
        let histogram = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|suffix| word.strip_suffix(suffix));
        let is_known = served.contains_key(word)
            || histogram.is_some_and(|name| {
                served
                    .get(name)
                    .is_some_and(|(kind, _)| kind == "histogram")
            });
        assert!(
            is_known,
            "docs/operations.md names {word}, which nothing serves"
        );
    }
    assert_eq!(process.stop().await, Some(0));
}
