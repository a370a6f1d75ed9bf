//! What a pipeline consists of, as data and in the forms that people and tools read.
//!
//! Owns the description of a topology and its renderings: text, Graphviz dot, Mermaid and JSON. Guarantees that the
//! same topology always renders to the same bytes, so a rendering can be a golden test. Knows nothing of running.

mod graph;
mod text;

use serde::Serialize;

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Data enters here.
    Source,
    /// Something happens to it here.
    Operator,
    /// Data leaves here.
    Sink,
    /// What cannot be processed goes here.
    DeadLetters,
}

/// One node of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Node {
    /// Its name, unique within the pipeline.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// What it does, in its own words.
    pub detail: String,
}

/// Batches go from one node to the next; to dead letters go only the records that an operator gives up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Edge {
    /// The name of the node that hands on.
    pub from: String,
    /// The name of the node that takes.
    pub to: String,
}

/// A pipeline: its nodes in the order of the flow, dead letters last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Description {
    /// The pipeline's name.
    pub pipeline: String,
    /// Its nodes.
    pub nodes: Vec<Node>,
    /// How they are joined.
    pub edges: Vec<Edge>,
}

/// A form in which descriptions can be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people, at a terminal.
    Text,
    /// For Graphviz: `dot -Tsvg`.
    Dot,
    /// For Mermaid, as in Markdown pages.
    Mermaid,
    /// For programs: an array of descriptions.
    Json,
}

impl Format {
    /// All forms.
    pub const ALL: [Self; 4] = [Self::Text, Self::Dot, Self::Mermaid, Self::Json];

    /// The word for it, e.g. on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Dot => "dot",
            Self::Mermaid => "mermaid",
            Self::Json => "json",
        }
    }
}

#[expect(
    clippy::missing_panics_doc,
    reason = "the form of this type cannot fail"
)]
/// Renders descriptions together, in their order; the text ends with a line break.
pub fn render(descriptions: &[Description], format: Format) -> String {
    match format {
        Format::Text => text::text(descriptions),
        Format::Dot => graph::dot(descriptions),
        Format::Mermaid => graph::mermaid(descriptions),
        Format::Json => {
            let mut json = serde_json::to_string_pretty(descriptions)
                .expect("strings and lists of strings always have a JSON form");
            json.push('\n');
            json
        }
    }
}

impl Description {
    /// This pipeline alone in one of the forms.
    pub fn render(&self, format: Format) -> String {
        render(std::slice::from_ref(self), format)
    }

    fn edges_from<'a>(&'a self, node: &'a Node) -> impl Iterator<Item = &'a Edge> {
        self.edges.iter().filter(move |edge| edge.from == node.name)
    }

    fn leads_to_dead_letters(&self, edge: &Edge) -> bool {
        self.nodes
            .iter()
            .any(|node| node.name == edge.to && node.kind == Kind::DeadLetters)
    }
}

/// A detail is one line in every form, whatever its component wrote.
fn one_line(detail: &str) -> String {
    detail.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
pub(crate) mod samples {
    use super::{Description, Edge, Kind, Node};

    fn node(name: &str, kind: Kind, detail: &str) -> Node {
        Node {
            name: name.to_owned(),
            kind,
            detail: detail.to_owned(),
        }
    }

    fn edge(from: &str, to: &str) -> Edge {
        Edge {
            from: from.to_owned(),
            to: to.to_owned(),
        }
    }

    /// Two operators, two sinks, dead letters, and details that need escaping.
    pub(crate) fn intake() -> Description {
        Description {
            pipeline: "intake".to_owned(),
            nodes: vec![
                node(
                    "commands",
                    Kind::Source,
                    "JetStream LEDGER_COMMANDS, consumer \"intake\"",
                ),
                node("decode", Kind::Operator, "JSON & bincode -> <command>"),
                node("validate", Kind::Operator, "decides,\n  commits in groups"),
                node("event_feed", Kind::Sink, "JetStream LEDGER_EVENTS"),
                node("outcomes", Kind::Sink, "ledger.outcomes.*"),
                node("dead_letters", Kind::DeadLetters, "JetStream LEDGER_DEAD"),
            ],
            edges: vec![
                edge("commands", "decode"),
                edge("decode", "validate"),
                edge("validate", "event_feed"),
                edge("event_feed", "outcomes"),
                edge("decode", "dead_letters"),
                edge("validate", "dead_letters"),
            ],
        }
    }

    /// The least there can be.
    pub(crate) fn balances() -> Description {
        Description {
            pipeline: "projection.balances".to_owned(),
            nodes: vec![
                node("events", Kind::Source, "LEDGER_EVENTS"),
                node("balances", Kind::Sink, "PostgreSQL"),
            ],
            edges: vec![edge("events", "balances")],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Format, render, samples};

    #[test]
    fn json_is_an_array_of_pipelines() {
        let golden = r#"[
  {
    "pipeline": "projection.balances",
    "nodes": [
      {
        "name": "events",
        "kind": "source",
        "detail": "LEDGER_EVENTS"
      },
      {
        "name": "balances",
        "kind": "sink",
        "detail": "PostgreSQL"
      }
    ],
    "edges": [
      {
        "from": "events",
        "to": "balances"
      }
    ]
  }
]
"#;
        assert_eq!(render(&[samples::balances()], Format::Json), golden);
    }
}
