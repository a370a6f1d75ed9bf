//! What it costs to write commands and events down and to read them, strictly: one transfer, one event of it, and the
//! largest batch that is let in.

mod scene;

use std::collections::BTreeMap;

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use ledger::codec::{self, CONTENT_TYPE_BINCODE, CONTENT_TYPE_JSON, binary, json};
use ledger::{Action, Batch, Command, Conditions, Deposit, limits};

use scene::{account_id, accounts_and_transfer, event};

fn main() {
    divan::main();
}

#[divan::bench_group]
mod command {
    use super::{Bencher, accounts_and_transfer, binary, black_box, json};

    #[divan::bench]
    fn encode_json(bencher: Bencher) {
        let (_, transfer) = accounts_and_transfer();
        bencher.bench(|| json::encode_command(black_box(&transfer)));
    }

    #[divan::bench]
    fn decode_json(bencher: Bencher) {
        let bytes = json::encode_command(&accounts_and_transfer().1);
        bencher.bench(|| json::decode_command(black_box(&bytes)));
    }

    #[divan::bench]
    fn encode_bincode(bencher: Bencher) {
        let (_, transfer) = accounts_and_transfer();
        bencher.bench(|| binary::encode_command(black_box(&transfer)));
    }

    #[divan::bench]
    fn decode_bincode(bencher: Bencher) {
        let bytes = binary::encode_command(&accounts_and_transfer().1);
        bencher.bench(|| binary::decode_command(black_box(&bytes)));
    }
}

#[divan::bench_group]
mod one_event {
    use super::{Bencher, binary, black_box, event, json};

    #[divan::bench]
    fn encode_json(bencher: Bencher) {
        let event = event();
        bencher.bench(|| json::encode_event(black_box(&event)));
    }

    #[divan::bench]
    fn decode_json(bencher: Bencher) {
        let bytes = json::encode_event(&event());
        bencher.bench(|| json::decode_event(black_box(&bytes)));
    }

    #[divan::bench]
    fn encode_bincode(bencher: Bencher) {
        let event = event();
        bencher.bench(|| binary::encode_event(black_box(&event)));
    }

    #[divan::bench]
    fn decode_bincode(bencher: Bencher) {
        let bytes = binary::encode_event(&event());
        bencher.bench(|| binary::decode_event(black_box(&bytes)));
    }
}

/// As many commands as a batch can have, with descriptions so long that nothing more fits into the body.
#[divan::bench_group]
mod largest_batch {
    use super::{
        Bencher, BytesCount, CONTENT_TYPE_BINCODE, CONTENT_TYPE_JSON, black_box, codec,
        encoded_largest_batch,
    };

    #[divan::bench]
    fn decode_json(bencher: Bencher) {
        let (bytes, _) = encoded_largest_batch();
        bencher
            .counter(BytesCount::new(bytes.len()))
            .bench(|| codec::decode_command(Some(CONTENT_TYPE_JSON), black_box(&bytes)));
    }

    #[divan::bench]
    fn decode_bincode(bencher: Bencher) {
        let (_, bytes) = encoded_largest_batch();
        bencher
            .counter(BytesCount::new(bytes.len()))
            .bench(|| codec::decode_command(Some(CONTENT_TYPE_BINCODE), black_box(&bytes)));
    }

    /// Its last command has a field that no command has: all of it is read before it is refused.
    #[divan::bench]
    fn refuse_json(bencher: Bencher) {
        let (bytes, _) = encoded_largest_batch();
        let text = String::from_utf8(bytes).expect("JSON is UTF-8");
        let end = text.rfind("\"description\"").expect("the last one has one");
        let refused = format!("{}\"descriptiom\"{}", &text[..end], &text[end + 13..]);
        let decoded = codec::decode_command(Some(CONTENT_TYPE_JSON), refused.as_bytes());
        assert!(decoded.is_err());
        bencher.counter(BytesCount::new(refused.len())).bench(|| {
            codec::decode_command(Some(CONTENT_TYPE_JSON), black_box(refused.as_bytes()))
        });
    }
}

/// In JSON and in bincode.
fn encoded_largest_batch() -> (Vec<u8>, Vec<u8>) {
    let shortest = json::encode_command(&batch(1)).len();
    let room = limits::BODY_BYTES_MAX - shortest;
    let batch = batch(1 + room / limits::BATCH_COMMANDS_MAX);
    let (json, bincode) = (json::encode_command(&batch), binary::encode_command(&batch));
    assert!(json.len() > limits::BODY_BYTES_MAX - limits::BATCH_COMMANDS_MAX);
    for (content_type, bytes) in [(CONTENT_TYPE_JSON, &json), (CONTENT_TYPE_BINCODE, &bincode)] {
        let decoded = codec::decode_command(Some(content_type), bytes);
        assert_eq!(decoded.as_ref(), Ok(&batch));
    }
    (json, bincode)
}

/// Deposits with descriptions of so many bytes.
fn batch(description_bytes: usize) -> Command {
    let command_id = uuid::Uuid::from_u64_pair(1, 1).into();
    let command = |action, description| Command {
        command_id,
        action,
        description,
        actor: Some("teller-3".to_owned()),
        metadata: BTreeMap::new(),
        conditions: Conditions::default(),
        effective_at: None,
    };
    let deposit = |number: usize| {
        let deposit = Action::Deposit(Deposit {
            account_id: account_id(&format!("ACC-{number:04}")),
            amount: 7.into(),
            currency: None,
        });
        command(deposit, Some("d".repeat(description_bytes)))
    };
    let commands = (0..limits::BATCH_COMMANDS_MAX).map(deposit).collect();
    command(Action::Batch(Batch { commands }), None)
}
