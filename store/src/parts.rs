//! Cutting batches into parts that the databases take in one message.

use std::collections::BTreeMap;

use ledger::{AccountId, Action, Command, Hash, limits};

/// The most bytes of values that one append may have: half of what CockroachDB takes in one message unless it is told
/// otherwise (`sql.conn.max_read_buffer_message_size`), and far below what it can commit at once (64 MiB). Ordinary
/// batches stay far below it.
const APPEND_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How many reversals one append has.
pub(crate) const REVERSALS_TOGETHER_MAX: usize = 16;

/// Cuts a batch where it would become too large for one append.
pub(crate) fn parts<'a, 'c>(commands: &'a [(&'c Command, Hash)]) -> Vec<&'a [(&'c Command, Hash)]> {
    let mut parts = Vec::with_capacity(1);
    let mut rest = commands;
    let (mut count, mut bytes) = (0, 0);
    while let Some((command, _)) = rest.get(count) {
        let more = append_bytes_max(command);
        if count > 0 && bytes + more > APPEND_BYTES_MAX {
            let (part, others) = rest.split_at(count);
            parts.push(part);
            rest = others;
            (count, bytes) = (0, 0);
        }
        count += 1;
        bytes += more;
    }
    parts.push(rest);
    parts
}

/// No command needs more than this in an append. Its texts stand in its body, in each of its events, and in the profile.
/// What `decide` lets a command write ([`limits::WRITTEN_BYTES_MAX`]), beside its body, is less than [`APPEND_BYTES_MAX`].
fn append_bytes_max(command: &Command) -> usize {
    // Ids, hashes, amounts, names of fields, the outcome.
    const REST_MAX: usize = 2 * 1024;
    const REST_OF_ANOTHER_EVENT_MAX: usize = 1024;
    // In the body and in both events; each of them has its columns, with the account's id once more.
    const BUSINESS_DATE_MAX: usize = 512;
    let (text_copies_max, mut rest_max) = match &command.action {
        Action::CloseAccount(_) | Action::Capture(_) => (4, REST_MAX + REST_OF_ANOTHER_EVENT_MAX),
        Action::Post(action) => {
            let entries = action.entries.len();
            (entries + 1, REST_MAX + entries * REST_OF_ANOTHER_EVENT_MAX)
        }
        Action::Exchange(_) => (5, REST_MAX + 2 * REST_OF_ANOTHER_EVENT_MAX),
        _ => (3, REST_MAX),
    };
    if let Action::Reverse(_) = &command.action {
        // As many events as the command that it reverses, which is not known yet: few at a time, and the writer looks
        // again when it has decided them.
        rest_max = rest_max.max(APPEND_BYTES_MAX / REVERSALS_TOGETHER_MAX);
    }
    let parts: usize = command.parts().iter().map(append_bytes_max).sum();
    let words = [&command.description, &command.actor]
        .into_iter()
        .flatten()
        .map(String::as_str);
    let text_bytes: usize = words
        .chain(entries(&command.metadata))
        .chain(own_texts(&command.action))
        .map(json_bytes)
        .sum();
    let date_max = command.effective_at.map_or(0, |_| BUSINESS_DATE_MAX);
    let own = rest_max
        + date_max
        + text_copies_max * text_bytes
        + known_profile_bytes_max(&command.action);
    (own + parts).min(APPEND_BYTES_MAX)
}

fn entries(metadata: &BTreeMap<String, String>) -> impl Iterator<Item = &str> {
    metadata
        .iter()
        .flat_map(<[&String; 2]>::from)
        .map(String::as_str)
}

/// The texts that only commands of its type have.
fn own_texts(action: &Action) -> Vec<&str> {
    match action {
        Action::CreateAccount(action) => vec![&action.owner_name],
        Action::FreezeAccount(action) => vec![&action.reason],
        Action::Reverse(action) => vec![&action.reason],
        Action::UnfreezeAccount(action) => action.reason.as_deref().into_iter().collect(),
        Action::UpdateAccount(action) => action
            .owner_name
            .as_deref()
            .into_iter()
            .chain(action.account_metadata.iter().flat_map(entries))
            .collect(),
        Action::Deposit(_)
        | Action::Withdraw(_)
        | Action::Transfer(_)
        | Action::CloseAccount(_)
        | Action::SetOverdraftLimit(_)
        | Action::Hold(_)
        | Action::Capture(_)
        | Action::Release(_)
        | Action::ExpireHold(_)
        | Action::Post(_)
        | Action::Batch(_)
        | Action::Exchange(_) => Vec::new(),
        Action::SetAccountRules(action) => {
            let allowed = action.rules.allowed_counterparties.iter().flatten();
            allowed.map(AccountId::as_str).collect()
        }
    }
}

/// A command that changes a part of the profile writes all of it anew, with texts that came with earlier commands.
fn known_profile_bytes_max(action: &Action) -> usize {
    // In JSON, a byte of a text has up to six.
    const TEXTS_MAX: usize = limits::OWNER_NAME_BYTES_MAX
        + limits::REASON_BYTES_MAX
        + limits::COUNTERPARTIES_MAX * AccountId::LENGTH_MAX
        + limits::METADATA_ENTRIES_MAX
            * (limits::METADATA_KEY_BYTES_MAX + limits::METADATA_VALUE_BYTES_MAX);
    match action {
        Action::FreezeAccount(_)
        | Action::UnfreezeAccount(_)
        | Action::CloseAccount(_)
        | Action::SetOverdraftLimit(_)
        | Action::UpdateAccount(_)
        | Action::SetAccountRules(_) => 6 * TEXTS_MAX,
        Action::CreateAccount(_)
        | Action::Deposit(_)
        | Action::Withdraw(_)
        | Action::Transfer(_)
        | Action::Hold(_)
        | Action::Capture(_)
        | Action::Release(_)
        | Action::ExpireHold(_)
        | Action::Reverse(_)
        | Action::Post(_)
        | Action::Batch(_)
        | Action::Exchange(_) => 0,
    }
}

/// How many bytes a text has in JSON.
fn json_bytes(text: &str) -> usize {
    let bytes = |byte: u8| match byte {
        b'"' | b'\\' => 2,
        0..=0x1f => 6,
        _ => 1,
    };
    text.bytes().map(bytes).sum()
}

#[cfg(test)]
mod tests {
    use ledger::codec::json;
    use ledger::{AccountId, Conditions, CreateAccount, Deposit, Policy, Timestamp, decide};
    use uuid::Uuid;

    use super::*;

    fn command(action: Action, text: &str) -> Command {
        Command {
            command_id: Uuid::from_u128(7).into(),
            action,
            description: Some(text.to_owned()),
            actor: Some(text.to_owned()),
            metadata: BTreeMap::from([("k".repeat(60), text.to_owned())]),
            conditions: Conditions::default(),
            effective_at: None,
        }
    }

    fn create(text: &str) -> Command {
        let action = Action::CreateAccount(CreateAccount {
            account_id: "A".repeat(AccountId::LENGTH_MAX).parse().unwrap(),
            owner_name: text.to_owned(),
            currency: "USD".parse().unwrap(),
            initial_balance: 1.into(),
            overdraft_limit: 0.into(),
        });
        command(action, text)
    }

    fn deposit(text: &str) -> Command {
        let action = Action::Deposit(Deposit {
            account_id: "A".parse().unwrap(),
            amount: 1.into(),
            currency: None,
        });
        command(action, text)
    }

    #[test]
    fn no_command_needs_more_than_it_is_given() {
        for text in [
            "",
            "plain",
            "\"\\\"",
            "\u{1}\n\u{1f}",
            "\u{7f}ż\u{1f9ff}\u{2028}",
        ] {
            let command = create(&text.repeat(100));
            let now = Timestamp::from_unix_microseconds(0);
            let accounts = BTreeMap::new();
            let events = decide(&accounts, &command, now, &Policy::default()).unwrap();
            let profile = serde_json::to_string(&command.account_id()).unwrap().len()
                + json_bytes(&text.repeat(100));
            let written = json::encode_command(&command).len()
                + json::encode_event(&events[0]).len()
                + profile;
            assert!(written <= append_bytes_max(&command), "{text:?}: {written}");
        }
    }

    #[test]
    fn parts_are_the_batch_in_order_and_none_is_too_large() {
        let (small, large) = (deposit("x"), deposit(&"x".repeat(100_000)));
        let fits = APPEND_BYTES_MAX / append_bytes_max(&large);
        assert!(fits >= 2);
        for (batch, expected) in [
            (vec![], vec![0]),
            (vec![&small], vec![1]),
            (vec![&small; 2_500], vec![2_500]),
            (vec![&large; fits], vec![fits]),
            (vec![&large; fits + 1], vec![fits, 1]),
            (vec![&large; 2 * fits + 1], vec![fits, fits, 1]),
        ] {
            let batch: Vec<(&Command, Hash)> = batch
                .into_iter()
                .map(|command| (command, Hash::ZERO))
                .collect();
            let parts = parts(&batch);
            let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
            assert_eq!(lengths, expected);
            assert_eq!(parts.concat(), batch);
        }
    }

    #[test]
    fn a_command_that_is_too_large_stands_alone() {
        let (small, huge) = (deposit("x"), deposit(&"x".repeat(APPEND_BYTES_MAX)));
        let batch = [&small, &huge, &small, &small].map(|command| (command, Hash::ZERO));
        let lengths: Vec<usize> = parts(&batch).iter().map(|part| part.len()).collect();
        assert_eq!(lengths, [1, 1, 2]);
    }
}
