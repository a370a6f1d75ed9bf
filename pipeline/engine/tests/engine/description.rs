//! A topology describes itself without running.

use engine::testing::{MemoryDeadLetters, MemoryLog, MemoryTable};
use engine::{Format, Step, Topology, render};

use crate::operators::each;

fn intake() -> Topology {
    Topology::named("intake")
        .source("commands", MemoryLog::<u64>::of([]).source())
        .then("decode", each(Step::<u64>::Emit))
        .then("validate", each(Step::Emit))
        .into("event_feed", MemoryTable::<u64>::new().sink())
        .into("outcomes", MemoryTable::new().sink())
        .dead_letters("dead_letters", MemoryDeadLetters::new())
        .build()
}

#[test]
fn the_builder_describes_what_it_has_built() {
    let golden = "\
pipeline intake

  source         commands       a log in memory
     |
     v
  operator       decode         a closure
     |  `- - -> dead_letters
     v
  operator       validate       a closure
     |  `- - -> dead_letters
     v
  sink           event_feed     a table in memory
     |
     v
  sink           outcomes       a table in memory

  dead letters   dead_letters   a list in memory
";
    assert_eq!(intake().describe().render(Format::Text), golden);
}

#[test]
fn without_operators_and_dead_letters_a_source_leads_straight_to_its_sink() {
    let topology = Topology::named("copy")
        .source("log", MemoryLog::<u64>::of([]).source())
        .into("table", MemoryTable::new().sink())
        .build();
    let golden = "\
flowchart LR
  subgraph p0[\"copy\"]
    p0n0([\"<b>log</b><br/>a log in memory\"])
    p0n1[(\"<b>table</b><br/>a table in memory\")]
    p0n0 --> p0n1
  end
";
    assert_eq!(topology.describe().render(Format::Mermaid), golden);
}

#[test]
fn every_form_is_the_same_each_time() {
    for format in Format::ALL {
        let once = render(&[intake().describe()], format);
        let again = render(&[intake().describe()], format);
        assert_eq!(once, again, "{}", format.name());
        assert!(once.ends_with('\n'), "{}", format.name());
    }
}
