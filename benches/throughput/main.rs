//! The published figures: `chronicle bench` with each workload, then at half of what was reached and with one command at a
//! time, one after the other on one machine.
//!
//! `cargo bench --workspace --bench throughput -- --seconds 20 --out benches/results` takes some eight minutes and writes
//! `throughput.md`, `throughput.svg`, and with `throughput.json` all that the runs have reported. Each run starts a stack of
//! its own, ends with `chronicle verify`, and fails if anything is violated. What the figures mean: docs/performance.md.

// Results go to stdout, to be kept.
#![allow(clippy::print_stdout)]

mod chart;
mod options;
mod page;
mod runs;

use anyhow::Context;

use self::options::Options;

fn main() -> anyhow::Result<()> {
    // `cargo test --all-targets` runs it, too, without this.
    let Some(options) = Options::read(std::env::args().skip(1))? else {
        println!("this takes minutes: run it with `cargo bench --workspace --bench throughput`");
        return Ok(());
    };
    let runs = runs::all(&options)?;
    let page = page::of(&runs, &options)?;
    println!("{page}");
    if let Some(folder) = &options.out {
        std::fs::create_dir_all(folder)?;
        let write = |name: &str, text: &str| {
            let file = folder.join(name);
            std::fs::write(&file, text)
                .with_context(|| format!("{} cannot be written", file.display()))
        };
        write("throughput.md", &page)?;
        write(
            "throughput.json",
            &(serde_json::to_string_pretty(&runs)? + "\n"),
        )?;
        chart::draw(&runs, &folder.join("throughput.svg"))?;
    }
    Ok(())
}
