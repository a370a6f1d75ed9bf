//! A strict reader of the text format of Prometheus, version 0.0.4: what a scraper might merely tolerate fails here.
//!
//! The format: <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>.

use std::collections::{BTreeMap, BTreeSet};

/// One metric with its samples.
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) kind: String,
    pub(crate) help: String,
    pub(crate) samples: Vec<Sample>,
}

/// One line with a value.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

/// Everything that was served at one time.
#[derive(Debug)]
pub(crate) struct Scrape {
    pub(crate) families: BTreeMap<String, Family>,
}

impl Scrape {
    /// Reads all of it; fails with the line that is not as it should be.
    pub(crate) fn parse(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line has an end");
        let mut families: BTreeMap<String, Family> = BTreeMap::new();
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            let (name, help) = head(line, "# HELP ");
            let next = lines.next().unwrap_or_default();
            let (typed, kind) = head(next, "# TYPE ");
            assert_eq!(name, typed, "TYPE follows HELP: {next}");
            let mut family = Family {
                kind: kind.to_owned(),
                help: help.to_owned(),
                samples: Vec::new(),
            };
            while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
                family.samples.push(sample(line));
            }
            check(name, &family);
            let before = families.insert(name.to_owned(), family);
            assert!(before.is_none(), "{name} comes twice");
        }
        Self { families }
    }

    /// The value of the one sample with this name and these labels, among others.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let samples = self.families.values().flat_map(|family| &family.samples);
        let mut found = samples.filter(|sample| {
            let has = |(label, value): &(&str, &str)| {
                sample.labels.get(*label).is_some_and(|own| own == value)
            };
            sample.name == name && labels.iter().all(has)
        });
        let value = found.next().map(|sample| sample.value);
        let second = found.next();
        assert!(second.is_none(), "{name}{labels:?} is not one: {second:?}");
        value
    }

    /// The values of a metric by one of its labels.
    pub(crate) fn by(&self, name: &str, label: &str) -> BTreeMap<String, f64> {
        let mut values = BTreeMap::new();
        for sample in &self.families[name].samples {
            *values.entry(sample.labels[label].clone()).or_default() += sample.value;
        }
        values
    }
}

fn head<'a>(line: &'a str, begin: &str) -> (&'a str, &'a str) {
    let rest = line.strip_prefix(begin);
    rest.and_then(|rest| rest.split_once(' '))
        .unwrap_or_else(|| panic!("this should be {begin:?}, a name and a text: {line:?}"))
}

fn sample(line: &str) -> Sample {
    let end = line
        .find(|char: char| !char.is_ascii_alphanumeric() && char != '_')
        .unwrap_or_else(|| panic!("no value: {line}"));
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, after) = rest
                .split_once("=\"")
                .unwrap_or_else(|| panic!("no label: {line}"));
            let is_name = !label.is_empty()
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            assert!(is_name, "{label:?} is no label: {line}");
            let (value, after) = quoted(after, line);
            let before = labels.insert(label.to_owned(), value);
            assert!(before.is_none(), "{label} comes twice: {line}");
            let Some(more) = after.strip_prefix(',') else {
                rest = after
                    .strip_prefix('}')
                    .unwrap_or_else(|| panic!("the labels have no end: {line}"));
                break;
            };
            rest = more;
        }
    }
    let value = rest
        .strip_prefix(' ')
        .unwrap_or_else(|| panic!("one space before the value: {line}"));
    let value = match value {
        "+Inf" => f64::INFINITY,
        other => other
            .parse()
            .ok()
            .filter(|value: &f64| value.is_finite())
            .unwrap_or_else(|| panic!("no value: {line}")),
    };
    Sample {
        name: name.to_owned(),
        labels,
        value,
    }
}

/// A label's value up to its closing quote, and what follows.
fn quoted<'a>(text: &'a str, line: &str) -> (String, &'a str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.push(match chars.next() {
                Some((_, 'n')) => '\n',
                Some((_, escaped @ ('"' | '\\'))) => escaped,
                other => panic!("{other:?} cannot be escaped: {line}"),
            }),
            other => value.push(other),
        }
    }
    panic!("a label's value has no end: {line}")
}

fn check(name: &str, family: &Family) {
    assert!(
        name.starts_with("chronicle_")
            && name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
        "{name} is no name of ours"
    );
    assert!(
        family.help.ends_with('.') && family.help.len() > 10,
        "{name} has no help: {:?}",
        family.help
    );
    assert_eq!(
        family.kind == "counter",
        name.ends_with("_total"),
        "{name} is a {}",
        family.kind
    );
    let mut seen = BTreeSet::new();
    for sample in &family.samples {
        assert!(
            seen.insert((&sample.name, &sample.labels)),
            "{sample:?} comes twice"
        );
        assert!(
            sample.value >= 0.0,
            "nothing of ours is below zero: {sample:?}"
        );
    }
    match family.kind.as_str() {
        "counter" | "gauge" => {
            assert!(
                family.samples.iter().all(|sample| sample.name == name),
                "{family:?}"
            );
        }
        "histogram" => check_histogram(name, family),
        other => panic!("{name} is a {other}"),
    }
}

/// Each series has rising bounds, counts that do not fall, an infinite bound, and as many values as that one says.
fn check_histogram(name: &str, family: &Family) {
    let mut series: BTreeMap<BTreeMap<String, String>, Vec<(f64, f64)>> = BTreeMap::new();
    let mut others: BTreeMap<(String, BTreeMap<String, String>), f64> = BTreeMap::new();
    for sample in &family.samples {
        let mut labels = sample.labels.clone();
        if sample.name == format!("{name}_bucket") {
            let bound = labels.remove("le").expect("a bucket has a bound");
            let bound = match bound.as_str() {
                "+Inf" => f64::INFINITY,
                other => other.parse().expect("a bound is a number"),
            };
            series
                .entry(labels)
                .or_default()
                .push((bound, sample.value));
        } else {
            others.insert((sample.name.clone(), labels), sample.value);
        }
    }
    assert_eq!(others.len(), 2 * series.len(), "{family:?}");
    for (labels, buckets) in series {
        assert!(
            buckets.is_sorted_by(|one, next| one.0 < next.0 && one.1 <= next.1),
            "{buckets:?}"
        );
        let (bound, all) = *buckets.last().expect("there are buckets");
        assert!(bound.is_infinite(), "{buckets:?}");
        let count = others.get(&(format!("{name}_count"), labels.clone()));
        assert_eq!(count, Some(&all), "{name}{labels:?}");
        assert!(
            others.contains_key(&(format!("{name}_sum"), labels)),
            "{name}"
        );
    }
}

#[test]
fn what_is_no_exposition_is_refused() {
    let good = "# HELP chronicle_a_total What it is.\n# TYPE chronicle_a_total counter\nchronicle_a_total{b=\"c\\\"d\"} 1\n";
    assert_eq!(
        Scrape::parse(good).value("chronicle_a_total", &[("b", "c\"d")]),
        Some(1.0)
    );
    for (what, with) in [
        (
            "chronicle_a_total{b=\"c\\\"d\"} 1",
            "chronicle_a_total{b=\"c\"d\"} 1",
        ),
        (
            "chronicle_a_total{b=\"c\\\"d\"} 1",
            "chronicle_a_total{b=\"c\\\"d\"} one",
        ),
        (
            "chronicle_a_total{b=\"c\\\"d\"} 1",
            "chronicle_a_total{b=\"c\\\"d\"} -1",
        ),
        ("chronicle_a_total{b=\"c\\\"d\"} 1", "chronicle_b_total 1"),
        (
            "chronicle_a_total{b=\"c\\\"d\"} 1\n",
            "chronicle_a_total 1\nchronicle_a_total 2\n",
        ),
        ("counter", "gauge"),
        ("# TYPE chronicle_a_total counter\n", ""),
        (" What it is.", " "),
    ] {
        let bad = good.replace(what, with);
        assert_ne!(bad, good, "{what}");
        assert!(
            std::panic::catch_unwind(|| Scrape::parse(&bad)).is_err(),
            "{bad}"
        );
    }
}
