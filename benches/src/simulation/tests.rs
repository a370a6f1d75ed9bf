use super::*;

fn model() -> Model {
    Model {
        partitions: 4,
        accounts: 1_000,
        popularity: Popularity::Uniform,
        anywhere_per_mille: 1_000,
        batch_commands: 16,
        remembers: true,
        timing: Timing::POSTGRESQL,
        rounds: 200,
        seed: 7,
    }
}

#[test]
fn the_same_seed_gives_the_same_figures_and_another_gives_others() {
    assert_eq!(model().run(), model().run());
    let other = Model { seed: 8, ..model() };
    assert_ne!(model().run(), other.run());
}

#[test]
fn one_partition_never_conflicts() {
    for popularity in [Popularity::Uniform, Popularity::Zipf] {
        let alone = Model {
            partitions: 1,
            popularity,
            ..model()
        };
        let measured = alone.run();
        assert_eq!((measured.first_conflicts, measured.given_up), (0, 0));
        assert_eq!(measured.attempts, measured.batches);
        assert!((measured.busiest_share - 1.0).abs() < 1e-9);
        assert!((measured.slowest - 1.0).abs() < 1e-9);
        assert!(measured.extra_attempts().abs() < 1e-9);
        // Nothing is in its way: as many batches as rounds, give or take those at both ends and the jitter. Only that rare
        // accounts of a Zipf still come for the first time.
        let fewest = if popularity == Popularity::Zipf {
            120
        } else {
            195
        };
        assert!((fewest..=205).contains(&measured.batches), "{measured:?}");
    }
}

#[test]
fn transfers_within_partitions_never_conflict_and_each_partition_brings_as_much_as_the_first() {
    let within = |partitions| {
        let model = Model {
            partitions,
            anywhere_per_mille: 0,
            ..model()
        };
        model.run()
    };
    let (one, eight) = (within(1), within(8));
    assert_eq!((eight.first_conflicts, eight.given_up), (0, 0));
    let times = eight.commands_per_second / one.commands_per_second;
    assert!((7.8..8.2).contains(&times), "{times}");
}

#[test]
fn the_more_goes_to_other_partitions_the_more_batches_conflict() {
    let conflicting = |anywhere_per_mille| {
        let model = Model {
            anywhere_per_mille,
            ..model()
        };
        model.run().conflicting()
    };
    let rising = [0, 10, 100, 1_000].map(conflicting);
    assert!(rising.is_sorted_by(|one, other| one < other), "{rising:?}");
}

/// Two writers of one command each, and so many accounts that hardly two commands in flight meet: what is remembered is
/// then what conflicts, and what is loaded does not.
#[test]
fn what_a_writer_remembers_of_foreign_accounts_makes_its_batches_conflict() {
    let remembering = Model {
        partitions: 2,
        accounts: 1_000,
        batch_commands: 1,
        rounds: 2_000,
        ..model()
    };
    let loading = Model {
        remembers: false,
        ..remembering
    };
    let (remembering, loading) = (remembering.run(), loading.run());
    // An account that both credit alike was touched last by the other one in a quarter of the cases (own) to a half and
    // more (foreign): at least one of the two is stale in most.
    assert!(remembering.conflicting() > 0.4, "{remembering:?}");
    // A commit of the other one has an account in common with it in about 4 of 1,000 cases.
    assert!(loading.conflicting() < 0.02, "{loading:?}");
}

#[test]
fn one_of_several_writers_always_commits_however_few_accounts_there_are() {
    let crowded = Model {
        partitions: 16,
        accounts: 32,
        batch_commands: 64,
        rounds: 1_000,
        ..model()
    };
    let measured = crowded.run();
    assert!(measured.batches > 100, "{measured:?}");
    assert!(measured.attempts > measured.batches, "{measured:?}");
    // Whoever has committed goes on at once while the others pause.
    assert!(measured.slowest < 0.9, "{measured:?}");
}

#[test]
fn the_partition_of_the_most_popular_account_is_the_busiest() {
    let share = |popularity| {
        let model = Model {
            popularity,
            rounds: 1,
            ..model()
        };
        model.run().busiest_share
    };
    assert!((share(Popularity::Uniform) - 0.25).abs() < 1e-9);
    // 1 + 1/5 + 1/9 + … of 1 + 1/2 + 1/3 + …, up to 1/1,000.
    let harmonic = |step| {
        let terms = (1..=1_000).step_by(step);
        terms.map(|rank| 1.0 / f64::from(rank)).sum::<f64>()
    };
    let expected = harmonic(4) / harmonic(1);
    assert!((share(Popularity::Zipf) - expected).abs() < 1e-6);
}

#[test]
fn it_pays_up_to_the_last_doubling_that_brings_a_quarter_more() {
    assert_eq!(pays_up_to(&[(1, 10.0), (2, 19.0), (4, 30.0), (8, 31.0)]), 4);
    assert_eq!(pays_up_to(&[(1, 10.0), (2, 9.0), (4, 30.0)]), 1);
    assert_eq!(pays_up_to(&[(1, 10.0), (2, 12.5)]), 2);
}
