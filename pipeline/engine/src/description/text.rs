//! Descriptions for people at a terminal: the flow from top to bottom, ASCII only apart from the details themselves.

use std::fmt::Write;

use super::{Description, Kind, Node, one_line};

/// Below the middle of the shortest kind, so that the flow reads as one line.
const STEM: &str = "     ";

pub(super) fn text(descriptions: &[Description]) -> String {
    let pipelines: Vec<String> = descriptions.iter().map(pipeline).collect();
    pipelines.join("\n")
}

fn pipeline(description: &Description) -> String {
    let mut text = format!("pipeline {}\n\n", description.pipeline);
    let width = |column: fn(&Node) -> usize| description.nodes.iter().map(column).max();
    let kind_width = width(|node| word(node.kind).chars().count()).unwrap_or(0);
    let name_width = width(|node| node.name.chars().count()).unwrap_or(0);

    for (index, node) in description.nodes.iter().enumerate() {
        if node.kind == Kind::DeadLetters {
            text.push('\n');
        }
        let row = format!(
            "  {:kind_width$}   {:name_width$}   {}",
            word(node.kind),
            node.name,
            one_line(&node.detail),
        );
        text.push_str(row.trim_end());
        text.push('\n');
        arrows(&mut text, description, index);
    }
    text
}

/// The way on from the node at `index`: down to the next one, sideways to all others.
fn arrows(text: &mut String, description: &Description, index: usize) {
    let node = &description.nodes[index];
    let next = description.nodes.get(index + 1).filter(|next| {
        description
            .edges_from(node)
            .any(|edge| edge.to == next.name)
    });
    let stem = if next.is_some() { '|' } else { ' ' };
    let mut branches = 0;
    for edge in description.edges_from(node) {
        if next.is_some_and(|next| next.name == edge.to) {
            continue;
        }
        let arrow = if description.leads_to_dead_letters(edge) {
            "- - ->"
        } else {
            "----->"
        };
        let _ = writeln!(text, "{STEM}{stem}  `{arrow} {}", edge.to);
        branches += 1;
    }
    if next.is_some() {
        if branches == 0 {
            let _ = writeln!(text, "{STEM}|");
        }
        let _ = writeln!(text, "{STEM}v");
    }
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Source => "source",
        Kind::Operator => "operator",
        Kind::Sink => "sink",
        Kind::DeadLetters => "dead letters",
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Format, render, samples};

    #[test]
    fn text_shows_the_flow_from_top_to_bottom() {
        let golden = r#"pipeline intake

  source         commands       JetStream LEDGER_COMMANDS, consumer "intake"
     |
     v
  operator       decode         JSON & bincode -> <command>
     |  `- - -> dead_letters
     v
  operator       validate       decides, commits in groups
     |  `- - -> dead_letters
     v
  sink           event_feed     JetStream LEDGER_EVENTS
     |
     v
  sink           outcomes       ledger.outcomes.*

  dead letters   dead_letters   JetStream LEDGER_DEAD

pipeline projection.balances

  source   events     LEDGER_EVENTS
     |
     v
  sink     balances   PostgreSQL
"#;
        let both = [samples::intake(), samples::balances()];
        assert_eq!(render(&both, Format::Text), golden);
    }
}
