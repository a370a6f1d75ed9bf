//! Commands that are done together or not at all.

use futures::future::join_all;
use ledger::{AccountId, Command, Event, RejectionCode, Version, limits};
use store::EventStore;

use crate::support::book::Book;
use crate::support::build::{
    batch, capture, create, create_with, deposit, hold, new_account_id, new_hold_id, post, reverse,
    transfer, under_the_id_of, withdraw,
};
use crate::support::clock;
use crate::support::database::Database;
use crate::support::outcomes::{
    events, outcome, process, process_until_done, verdict, verdicts, writer,
};
use crate::support::random::Random;

async fn balance(store: &EventStore, account_id: &AccountId) -> String {
    let account = store.account(account_id).await.unwrap();
    account.unwrap().balance.to_string()
}

/// All events of an account, each with the hash that it names.
async fn history(store: &EventStore, account_id: &AccountId) -> Vec<Event> {
    let events = store
        .history(account_id, Version::NONE, 5_000)
        .await
        .unwrap();
    for event in &events {
        event.check_hash().unwrap();
    }
    events
}

#[tokio::test]
async fn a_thousand_transfers_are_done_together_or_not_at_all() {
    let store = Database::shared().await.store();
    let (from, to) = (new_account_id("from"), new_account_id("to"));
    let mut writer = writer(&store);
    process(&mut writer, &[create(&from, "1000"), create(&to, "0")]).await;

    // The last of them is one too many.
    let transfers = |count| (0..count).map(|_| transfer(&from, &to, "1"));
    let too_much = batch(transfers(limits::BATCH_COMMANDS_MAX - 1).chain([withdraw(&from, "2")]));
    let all = batch(transfers(limits::BATCH_COMMANDS_MAX));
    let told = process(
        &mut writer,
        &[too_much.clone(), all.clone(), too_much, all.clone()],
    )
    .await;
    assert_eq!(
        verdicts(&told),
        [
            "insufficient_funds",
            "accepted",
            "repeated insufficient_funds",
            "repeated accepted"
        ]
    );
    let rejection = outcome(&told[0]).rejection().unwrap();
    assert_eq!(rejection.data["command"], "999");
    assert!(rejection.message.starts_with("commands[999] (withdraw): "));
    assert_eq!(balance(&store, &from).await, "0.00");
    assert_eq!(balance(&store, &to).await, "1000.00");

    // What was written says which command it was of, and is what the writer had made.
    let done = events(&told[1]);
    assert_eq!(done.len(), 2_000);
    let debits: Vec<&Event> = done
        .iter()
        .filter(|event| event.account_id == from)
        .collect();
    let stored = history(&store, &from).await;
    assert_eq!(stored.iter().skip(1).collect::<Vec<_>>(), debits);
    let parts: Vec<Option<u32>> = debits.iter().map(|event| event.part).collect();
    assert_eq!(parts, (0..1_000).map(Some).collect::<Vec<_>>());
    let found = store.outcomes(&[all.command_id]).await.unwrap();
    assert_eq!(found[0].outcome, *outcome(&told[1]));
    assert_eq!(found[0].outcome.events()[1_999].part, Some(999));

    // And all of it goes back at once.
    let told = process(&mut writer, &[reverse(&all, None), reverse(&all, None)]).await;
    assert_eq!(verdicts(&told), ["accepted", "already_reversed"]);
    assert_eq!(balance(&store, &from).await, "1000.00");
    let back = history(&store, &from).await;
    let last = back.last().unwrap().data.reversal().unwrap();
    assert_eq!(last.reversed.to_string(), "1000.00");
}

#[tokio::test]
async fn each_command_sees_what_those_before_it_have_done() {
    let store = Database::shared().await.store();
    let (one, two) = (new_account_id("one"), new_account_id("two"));
    let hold_id = new_hold_id();
    let together = batch([
        create(&one, "10"),
        create(&two, "0"),
        deposit(&one, "5"),
        hold(&one, hold_id, "15"),
        capture(&one, hold_id, "4"),
        withdraw(&two, "0.01"),
    ]);
    let told = process(&mut writer(&store), std::slice::from_ref(&together)).await;
    assert_eq!(verdicts(&told), ["insufficient_funds"]);
    assert_eq!(outcome(&told[0]).rejection().unwrap().data["command"], "5");
    assert!(store.account(&one).await.unwrap().is_none());
    let held = store.holds(&[(one.clone(), hold_id)]).await.unwrap();
    assert!(held.is_empty());

    let together = batch(together.parts()[..5].iter().cloned());
    let told = process(
        &mut writer(&store),
        &[together, capture(&one, hold_id, "11")],
    )
    .await;
    assert_eq!(verdicts(&told), ["accepted", "accepted"]);
    let account = store.account(&one).await.unwrap().unwrap();
    assert_eq!(account.balance.to_string(), "0.00");
    assert_eq!(account.version, Version::new(5));
    history(&store, &one).await;
}

#[tokio::test]
async fn a_posting_balances_in_each_currency_and_is_moved_back_by_any_writer() {
    let store = Database::shared().await.store();
    let [payer, shop, fees, euros] = ["payer", "shop", "fees", "euros"].map(new_account_id);
    let world = new_account_id("world");
    let opening = [
        create(&payer, "100"),
        create(&shop, "0"),
        create(&fees, "0"),
        create_with(&euros, "0", "EUR", "0"),
        create_with(&world, "0", "EUR", "1000"),
    ];
    process(&mut writer(&store), &opening).await;
    let posting = post(&[
        (&payer, "-100"),
        (&shop, "97.50"),
        (&fees, "2.50"),
        (&world, "-92"),
        (&euros, "92"),
    ]);
    let unbalanced = post(&[(&payer, "-100"), (&shop, "97.50"), (&fees, "2.49")]);
    let told = process(&mut writer(&store), &[unbalanced, posting.clone()]).await;
    assert_eq!(verdicts(&told), ["unbalanced", "accepted"]);
    let done = events(&told[1]);
    let ids: std::collections::HashSet<_> =
        done.iter().map(|event| event.data.posting_id()).collect();
    assert_eq!((done.len(), ids.len()), (5, 1));

    let in_part = reverse(&posting, Some("1"));
    let told = process(
        &mut writer(&store),
        &[in_part, reverse(&posting, None), reverse(&posting, None)],
    )
    .await;
    assert_eq!(
        verdicts(&told),
        ["not_reversible", "accepted", "already_reversed"]
    );
    assert_eq!(balance(&store, &payer).await, "100.00");
    assert_eq!(balance(&store, &world).await, "0.00");
    for account_id in [&payer, &shop, &fees, &euros, &world] {
        assert_eq!(history(&store, account_id).await.len(), 3);
    }
}

#[tokio::test]
async fn what_would_be_too_much_for_the_database_is_refused_and_less_is_written() {
    let store = Database::shared().await.store();
    let ids: Vec<AccountId> = (0..200).map(|_| new_account_id("texts")).collect();
    let opening = batch(ids.iter().map(|id| create_with(id, "0", "USD", "1000")));
    let mut writer = writer(&store);
    let told = process(&mut writer, &[opening]).await;
    assert_eq!(verdicts(&told), ["accepted"]);

    let laden = |entries: usize| {
        let entries: Vec<(&AccountId, &str)> = ids
            .chunks(2)
            .cycle()
            .take(entries / 2)
            .flat_map(|two| [(&two[0], "-1"), (&two[1], "1")])
            .collect();
        let metadata = (0..limits::METADATA_ENTRIES_MAX).map(|entry| {
            let value = "\u{1}".repeat(limits::METADATA_VALUE_BYTES_MAX / 6);
            (format!("key-{entry}"), value)
        });
        Command {
            description: Some("d".repeat(limits::DESCRIPTION_BYTES_MAX)),
            metadata: metadata.collect(),
            ..post(&entries)
        }
    };
    let small = deposit(&ids[0], "1");
    let told = process(&mut writer, &[laden(1_000), small, laden(130)]).await;
    assert_eq!(
        verdicts(&told),
        ["too_much_written", "accepted", "accepted"]
    );
    let rejection = outcome(&told[0]).rejection().unwrap();
    assert_eq!(rejection.code, RejectionCode::TooMuchWritten);
    assert_eq!(history(&store, &ids[0]).await.len(), 3);
}

/// Batches of two to five transfers and postings, of which some are refused; and some come from several writers.
fn batches(random: &mut Random, ids: &[AccountId], count: usize) -> Vec<Command> {
    let one = |random: &mut Random| {
        let from = random.below(ids.len());
        let to = (from + 1 + random.below(ids.len() - 1)) % ids.len();
        let amount = (1 + random.below(40)).to_string();
        match random.below(3) {
            0 => post(&[(&ids[from], &format!("-{amount}")), (&ids[to], &amount)]),
            _ => transfer(&ids[from], &ids[to], &amount),
        }
    };
    let mut all: Vec<Command> = Vec::new();
    for _ in 0..count {
        let parts: Vec<Command> = (0..2 + random.below(4)).map(|_| one(random)).collect();
        let whole = batch(parts);
        let used = random.below(all.len() + 1);
        all.push(match (random.below(10), all.get(used)) {
            (0, Some(first)) => first.clone(),
            (1, Some(first)) => reverse(first, None),
            (2, Some(first)) => under_the_id_of(first, one(random)),
            _ => whole,
        });
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_of_several_writers_are_isolated() {
    let store = Database::fresh("isolated_batches").await.store();
    let ids: Vec<AccountId> = (0..4).map(|_| new_account_id("hot")).collect();
    let opening: Vec<Command> = ids.iter().map(|id| create(id, "100")).collect();
    process(&mut writer(&store), &opening).await;
    let shared = batches(&mut Random::new(5), &ids, 60);
    let writers = (0..3_u64).map(|seed| {
        let mut random = Random::new(200 + seed);
        let mut own = batches(&mut random, &ids, 60);
        own.extend(shared.iter().cloned());
        random.shuffle(&mut own);
        let store = store.clone();
        tokio::spawn(async move {
            let mut writer = writer(&store);
            let mut accepted = 0;
            for some in own.chunks(3) {
                let told = process_until_done(&mut writer, some, &clock::now).await;
                accepted += told.iter().filter(|one| verdict(one) == "accepted").count();
            }
            accepted
        })
    });
    let accepted: usize = join_all(writers)
        .await
        .into_iter()
        .map(Result::unwrap)
        .sum();
    assert!(accepted > 20, "{accepted} were accepted");

    let book = Book::of_everything(&store).await;
    let mut sum = 0;
    for id in &ids {
        let units: i64 = book
            .balance(id)
            .to_string()
            .replace('.', "")
            .parse()
            .unwrap();
        assert!(units >= 0, "{id} has {units}");
        sum += units;
        history(&store, id).await;
    }
    assert_eq!(sum, 4 * 100_00, "money was made or lost");
}

#[tokio::test]
async fn many_reversals_of_long_commands_are_committed_in_parts() {
    const ENTRIES: usize = 500;
    const POSTINGS: usize = 40;
    let store = Database::shared().await.store();
    let ids: Vec<AccountId> = (0..2).map(|_| new_account_id("long")).collect();
    let mut writer = writer(&store);
    let opening: Vec<Command> = ids.iter().map(|id| create(id, "10000")).collect();
    process(&mut writer, &opening).await;
    let entries: Vec<(&AccountId, &str)> = (0..ENTRIES / 2)
        .flat_map(|_| [(&ids[0], "-1"), (&ids[1], "1")])
        .collect();
    let postings: Vec<Command> = (0..POSTINGS).map(|_| post(&entries)).collect();
    let told = process(&mut writer, &postings).await;
    assert!(verdicts(&told).iter().all(|verdict| verdict == "accepted"));

    // As a batch they would write too much, and more than is looked at: that is what is said, of a command before that.
    let together = batch(postings.iter().map(|posting| reverse(posting, None)));
    let told = process(&mut writer, &[together]).await;
    assert_eq!(verdicts(&told), ["too_much_written"]);
    // One by one they are done, whoever asks at the same time.
    let mut commands: Vec<Command> = postings
        .iter()
        .map(|posting| Command {
            description: Some("d".repeat(limits::DESCRIPTION_BYTES_MAX)),
            ..reverse(posting, None)
        })
        .collect();
    commands.push(reverse(&postings[0], None));
    let told = process(&mut self::writer(&store), &commands).await;
    let verdicts = verdicts(&told);
    assert!(verdicts[..POSTINGS].iter().all(|one| one == "accepted"));
    assert_eq!(verdicts[POSTINGS], "already_reversed");
    assert_eq!(balance(&store, &ids[0]).await, "10000.00");
    assert_eq!(balance(&store, &ids[1]).await, "10000.00");
}
