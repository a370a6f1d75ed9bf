//! Descriptions for tools that draw: Graphviz dot and Mermaid. Dashed arrows lead to dead letters.

use std::fmt::Write;

use super::{Description, Kind, Node, one_line};

pub(super) fn dot(descriptions: &[Description]) -> String {
    let mut dot = String::from(
        "digraph topology {\n  rankdir=LR;\n  fontname=\"Helvetica\";\n  node [fontname=\"Helvetica\"];\n",
    );
    for (index, description) in descriptions.iter().enumerate() {
        let pipeline = &description.pipeline;
        let id = |name: &str| dot_quoted(&format!("{pipeline}/{name}"));
        let _ = writeln!(dot, "  subgraph cluster_{index} {{");
        let _ = writeln!(dot, "    label={};", dot_quoted(pipeline));
        for node in &description.nodes {
            let label = dot_quoted(&format!("{}\n{}", node.name, one_line(&node.detail)));
            let shape = match node.kind {
                Kind::Source => "cds",
                Kind::Operator => "box",
                Kind::Sink => "cylinder",
                Kind::DeadLetters => "note",
            };
            let _ = writeln!(
                dot,
                "    {} [label={label}, shape={shape}];",
                id(&node.name)
            );
        }
        for edge in &description.edges {
            let style = if description.leads_to_dead_letters(edge) {
                " [style=dashed]"
            } else {
                ""
            };
            let _ = writeln!(dot, "    {} -> {}{style};", id(&edge.from), id(&edge.to));
        }
        dot.push_str("  }\n");
    }
    dot.push_str("}\n");
    dot
}

fn dot_quoted(text: &str) -> String {
    let escaped = text
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n");
    format!("\"{escaped}\"")
}

pub(super) fn mermaid(descriptions: &[Description]) -> String {
    let mut mermaid = String::from("flowchart LR\n");
    for (index, description) in descriptions.iter().enumerate() {
        let _ = writeln!(
            mermaid,
            "  subgraph p{index}[\"{}\"]",
            mermaid_escaped(&description.pipeline)
        );
        for (number, node) in description.nodes.iter().enumerate() {
            let _ = writeln!(mermaid, "    p{index}n{number}{}", mermaid_shape(node));
        }
        for edge in &description.edges {
            let number = |name: &str| description.nodes.iter().position(|node| node.name == name);
            let (Some(from), Some(to)) = (number(&edge.from), number(&edge.to)) else {
                continue;
            };
            let arrow = if description.leads_to_dead_letters(edge) {
                "-.->"
            } else {
                "-->"
            };
            let _ = writeln!(mermaid, "    p{index}n{from} {arrow} p{index}n{to}");
        }
        mermaid.push_str("  end\n");
    }
    mermaid
}

fn mermaid_shape(node: &Node) -> String {
    let name = mermaid_escaped(&node.name);
    let detail = mermaid_escaped(&one_line(&node.detail));
    let label = format!("\"<b>{name}</b><br/>{detail}\"");
    match node.kind {
        Kind::Source => format!("([{label}])"),
        Kind::Operator => format!("[{label}]"),
        Kind::Sink => format!("[({label})]"),
        Kind::DeadLetters => format!("[/{label}/]"),
    }
}

/// Mermaid's own escapes: `#` begins an entity, and labels are HTML.
fn mermaid_escaped(text: &str) -> String {
    text.replace('#', "#35;")
        .replace('&', "#amp;")
        .replace('"', "#quot;")
        .replace('<', "#lt;")
        .replace('>', "#gt;")
}

#[cfg(test)]
mod tests {
    use super::super::{Format, render, samples};

    #[test]
    fn dot_draws_each_pipeline_as_a_cluster() {
        let golden = r#"digraph topology {
  rankdir=LR;
  fontname="Helvetica";
  node [fontname="Helvetica"];
  subgraph cluster_0 {
    label="intake";
    "intake/commands" [label="commands\nJetStream LEDGER_COMMANDS, consumer \"intake\"", shape=cds];
    "intake/decode" [label="decode\nJSON & bincode -> <command>", shape=box];
    "intake/validate" [label="validate\ndecides, commits in groups", shape=box];
    "intake/event_feed" [label="event_feed\nJetStream LEDGER_EVENTS", shape=cylinder];
    "intake/outcomes" [label="outcomes\nledger.outcomes.*", shape=cylinder];
    "intake/dead_letters" [label="dead_letters\nJetStream LEDGER_DEAD", shape=note];
    "intake/commands" -> "intake/decode";
    "intake/decode" -> "intake/validate";
    "intake/validate" -> "intake/event_feed";
    "intake/event_feed" -> "intake/outcomes";
    "intake/decode" -> "intake/dead_letters" [style=dashed];
    "intake/validate" -> "intake/dead_letters" [style=dashed];
  }
  subgraph cluster_1 {
    label="projection.balances";
    "projection.balances/events" [label="events\nLEDGER_EVENTS", shape=cds];
    "projection.balances/balances" [label="balances\nPostgreSQL", shape=cylinder];
    "projection.balances/events" -> "projection.balances/balances";
  }
}
"#;
        let both = [samples::intake(), samples::balances()];
        assert_eq!(render(&both, Format::Dot), golden);
    }

    #[test]
    fn mermaid_draws_each_pipeline_as_a_subgraph() {
        let golden = r#"flowchart LR
  subgraph p0["intake"]
    p0n0(["<b>commands</b><br/>JetStream LEDGER_COMMANDS, consumer #quot;intake#quot;"])
    p0n1["<b>decode</b><br/>JSON #amp; bincode -#gt; #lt;command#gt;"]
    p0n2["<b>validate</b><br/>decides, commits in groups"]
    p0n3[("<b>event_feed</b><br/>JetStream LEDGER_EVENTS")]
    p0n4[("<b>outcomes</b><br/>ledger.outcomes.*")]
    p0n5[/"<b>dead_letters</b><br/>JetStream LEDGER_DEAD"/]
    p0n0 --> p0n1
    p0n1 --> p0n2
    p0n2 --> p0n3
    p0n3 --> p0n4
    p0n1 -.-> p0n5
    p0n2 -.-> p0n5
  end
  subgraph p1["projection.balances"]
    p1n0(["<b>events</b><br/>LEDGER_EVENTS"])
    p1n1[("<b>balances</b><br/>PostgreSQL")]
    p1n0 --> p1n1
  end
"#;
        let both = [samples::intake(), samples::balances()];
        assert_eq!(render(&both, Format::Mermaid), golden);
    }
}
