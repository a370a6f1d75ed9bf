//! How often the writers of several partitions get in each other's way, simulated: what it assumes stands in
//! `benches/src/simulation/mod.rs`. Needs no server, and gives the same figures everywhere.
//!
//! `cargo bench -p benches --bench conflicts > benches/results/conflicts.md` takes some seconds.

use benches::print_machine;
use benches::simulation::{Measured, Model, Popularity, Timing, pays_up_to};

const PARTITIONS: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];
const BATCHES: [usize; 3] = [16, 128, 1_024];
const SEED: u64 = 20_261_128;
/// How many undisturbed batches of one writer each row lasts.
const ROUNDS: u64 = 300;

fn main() {
    // `cargo test --all-targets` runs it, too, without this.
    if !std::env::args().any(|argument| argument == "--bench") {
        eprintln!("run it with `cargo bench -p benches --bench conflicts`");
        return;
    }
    println!("# Conflicts between partitions, simulated\n");
    println!("`cargo bench -p benches --bench conflicts`, seed {SEED}\n");
    print_machine(&[":/benches/src/simulation", ":/benches/benches/conflicts.rs"]);
    print_meaning();
    for (popularity, accounts) in [
        (Popularity::Uniform, 10_000),
        (Popularity::Zipf, 10_000),
        (Popularity::Uniform, 100_000),
    ] {
        for batch_commands in BATCHES {
            let model = Model {
                accounts,
                popularity,
                batch_commands,
                ..base()
            };
            print_partitions(&model, "PostgreSQL");
        }
    }
    let cockroach = Model {
        timing: Timing::COCKROACHDB,
        ..base()
    };
    print_partitions(&cockroach, "CockroachDB");
    print_localities();
}

fn base() -> Model {
    Model {
        partitions: 1,
        accounts: 10_000,
        popularity: Popularity::Uniform,
        anywhere_per_mille: 1_000,
        batch_commands: 128,
        remembers: true,
        timing: Timing::POSTGRESQL,
        rounds: ROUNDS,
        seed: SEED,
    }
}

fn print_meaning() {
    println!(
        "\nOnly the seed and the model decide these figures, not the machine. Every command is a transfer; the account that is \
         debited decides the partition; the one that is credited is any account, so it lies in another partition with a \
         probability of 1 − 1/P. Every writer always has a full batch waiting. **The event store takes all appends side by side as \
         fast as one alone**: an upper bound, no measurement of a database. All other assumptions: \
         `benches/src/simulation/mod.rs`.\n\n\
         - `conflict`: the share of batches whose first attempt fails on another writer's commit.\n\
         - `extra`: attempts beside the one that each batch needs.\n\
         - `× one`: commands a second, next to one partition with the same batches.\n\
         - `as it is`: writers remember accounts from batch to batch, as they do, those of other partitions, too. `loading`: as \
         if they loaded all accounts for each batch.\n\
         - `slowest`: what the slowest partition committed, next to the mean of all.\n\
         - `cap`: 1 / the share of all debits that goes to the busiest partition. When commands come as accounts are popular, \
         and not as many to each partition, no more than this comes of it.\n\n\
         It `pays` up to the number of partitions to which every doubling brings a quarter more, or more than that."
    );
}

fn print_partitions(model: &Model, store: &str) {
    println!(
        "\n## {}, {} accounts, batches of {}, {store}\n",
        name(model.popularity),
        model.accounts,
        model.batch_commands,
    );
    println!(
        "| partitions | elsewhere % | as it is: conflict % | extra | × one | slowest | loading: conflict % | extra | × one | slowest | cap |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    let (mut rates, mut loading_rates) = (Vec::new(), Vec::new());
    let (mut given_up, mut loading_given_up) = (0, 0);
    for partitions in PARTITIONS {
        let remembering = Model {
            partitions,
            ..*model
        };
        let loading = Model {
            remembers: false,
            ..remembering
        };
        let (it_is, loading) = (remembering.run(), loading.run());
        rates.push((partitions, it_is.commands_per_second));
        loading_rates.push((partitions, loading.commands_per_second));
        given_up += it_is.given_up;
        loading_given_up += loading.given_up;
        let one = rates[0].1;
        println!(
            "| {partitions} | {:.1} | {} | {} | {:.1} |",
            100.0 * (1.0 - 1.0 / partitions as f64),
            figures(&it_is, one),
            figures(&loading, one),
            1.0 / it_is.busiest_share,
        );
    }
    println!(
        "\nPays up to {} as it is; up to {} loading. Writers gave up after 12 attempts, and their pipelines were built anew, \
         {given_up} times as it is, {loading_given_up} loading.",
        told(pays_up_to(&rates)),
        told(pays_up_to(&loading_rates))
    );
}

/// At a fixed number of partitions: what it brings to keep transfers within them.
fn print_localities() {
    println!(
        "\n## Transfers that stay within their partition: uniform, 10000 accounts, batches of 128, 16 partitions, PostgreSQL\n"
    );
    println!(
        "| elsewhere % | as it is: conflict % | extra | × one | slowest | loading: conflict % | extra | × one | slowest |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let one = base().run().commands_per_second;
    for anywhere_per_mille in [0, 1, 2, 5, 10, 20, 50, 100, 1_000] {
        let remembering = Model {
            partitions: 16,
            anywhere_per_mille,
            ..base()
        };
        let loading = Model {
            remembers: false,
            ..remembering
        };
        println!(
            "| {:.2} | {} | {} |",
            anywhere_per_mille as f64 / 10.0 * (1.0 - 1.0 / 16.0),
            figures(&remembering.run(), one),
            figures(&loading.run(), one),
        );
    }
}

fn figures(measured: &Measured, one: f64) -> String {
    format!(
        "{:.1} | {:.2} | {:.2} | {:.2}",
        100.0 * measured.conflicting(),
        measured.extra_attempts(),
        measured.commands_per_second / one,
        measured.slowest,
    )
}

fn told(partitions: usize) -> String {
    match partitions {
        1 => "one partition".to_owned(),
        more => format!("{more} partitions"),
    }
}

fn name(popularity: Popularity) -> &'static str {
    match popularity {
        Popularity::Uniform => "Uniform",
        Popularity::Zipf => "Zipf",
    }
}
