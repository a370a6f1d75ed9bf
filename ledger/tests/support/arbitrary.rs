//! Arbitrary commands and events: everything that the codecs must carry, and nothing that they refuse.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::BTreeMap;

use ledger::{
    AccountCreated, AccountId, Action, Command, CreateAccount, Currency, CurrencyCode, Deposit,
    Event, EventData, Hash, Money, MoneyMoved, Timestamp, Transfer, TransferLeg, Version, Withdraw,
};
use proptest::char::range;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use rust_decimal::Decimal;
use uuid::Uuid;

/// Characters that JSON writers stumble over, and some of all others; never U+0000.
fn character() -> impl Strategy<Value = char> {
    let awkward = [
        '"',
        '\\',
        '/',
        '\u{7f}',
        '\u{80}',
        '\u{d7ff}',
        '\u{e000}',
        '\u{2028}',
        '\u{2029}',
        '\u{feff}',
        '\u{fffd}',
        '\u{ffff}',
        '\u{10000}',
        '😀',
        '\u{10ffff}',
    ];
    prop_oneof![
        4 => range(' ', '~'),
        2 => range('\u{1}', '\u{1f}'),
        2 => select(awkward.to_vec()),
        2 => any::<char>().prop_filter("no text has U+0000", |character| *character != '\0'),
    ]
}

/// Up to `characters_max`, of which each has at most four bytes.
fn text(characters_max: usize) -> impl Strategy<Value = String> {
    prop_oneof![
        7 => vec(character(), 0..characters_max.min(24)),
        1 => vec(character(), characters_max),
    ]
    .prop_map(String::from_iter)
}

fn metadata() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map("[!-~]{1,64}", text(128), 0..4)
}

fn account_id() -> impl Strategy<Value = AccountId> {
    "[A-Za-z0-9_-]{1,64}".prop_map(|text| text.parse().expect("made to be an account id"))
}

fn currency_code() -> impl Strategy<Value = CurrencyCode> {
    prop_oneof![Just("USD".to_owned()), "[A-Z][A-Z0-9]{2,11}"]
        .prop_map(|text| text.parse().expect("made to be a currency code"))
}

/// Up to 27 digits, with up to `scale_max` of them behind the point.
fn decimal(scale_max: u32) -> impl Strategy<Value = Decimal> {
    (any::<i128>(), 0..=27_u32, 0..=scale_max).prop_map(|(digits, length, scale)| {
        Decimal::from_i128_with_scale(digits % 10_i128.pow(length), scale)
    })
}

fn uuid() -> impl Strategy<Value = Uuid> {
    any::<[u8; 16]>().prop_map(Uuid::from_bytes)
}

fn hash() -> impl Strategy<Value = Hash> {
    any::<[u8; 32]>().prop_map(Hash::from)
}

fn action() -> impl Strategy<Value = Action> {
    let currency = || option::of(currency_code());
    let create_account = (
        account_id(),
        text(64),
        currency_code(),
        decimal(28),
        decimal(28),
    )
        .prop_map(
            |(account_id, owner_name, currency, initial_balance, overdraft_limit)| {
                Action::CreateAccount(CreateAccount {
                    account_id,
                    owner_name,
                    currency,
                    initial_balance,
                    overdraft_limit,
                })
            },
        );
    let deposit =
        (account_id(), decimal(28), currency()).prop_map(|(account_id, amount, currency)| {
            Action::Deposit(Deposit {
                account_id,
                amount,
                currency,
            })
        });
    let withdraw =
        (account_id(), decimal(28), currency()).prop_map(|(account_id, amount, currency)| {
            Action::Withdraw(Withdraw {
                account_id,
                amount,
                currency,
            })
        });
    let transfer = (account_id(), account_id(), decimal(28), currency()).prop_map(
        |(from_account_id, to_account_id, amount, currency)| {
            Action::Transfer(Transfer {
                from_account_id,
                to_account_id,
                amount,
                currency,
            })
        },
    );
    prop_oneof![create_account, deposit, withdraw, transfer]
}

/// Any command that can be on the wire.
pub(crate) fn command() -> impl Strategy<Value = Command> {
    let expected_version = option::of(prop_oneof![0..=3_u64, 0..=Version::MAX.get()]);
    (
        uuid(),
        action(),
        option::of(text(512)),
        option::of(text(64)),
        metadata(),
        expected_version,
    )
        .prop_map(
            |(command_id, action, description, actor, metadata, expected_version)| Command {
                command_id: command_id.into(),
                action,
                description,
                actor,
                metadata,
                expected_version: expected_version.map(Version::new),
            },
        )
}

fn currency() -> impl Strategy<Value = Currency> {
    select(vec!["JPY", "USD", "EUR", "BHD", "CLF"])
        .prop_map(|code| Currency::lookup(code.parse().expect("a code")).expect("a currency"))
}

fn money(currency: Currency) -> impl Strategy<Value = Money> {
    (any::<i128>(), 0..=27_u32).prop_map(move |(digits, length)| {
        let digits = digits % 10_i128.pow(length);
        let value = Decimal::from_i128_with_scale(digits, currency.exponent());
        Money::new(value, currency).expect("made to fit")
    })
}

fn event_data(currency: Currency) -> impl Strategy<Value = EventData> {
    let words = || (option::of(text(512)), metadata());
    let created = (text(64), money(currency), money(currency), words()).prop_map(
        |(owner_name, initial_balance, overdraft_limit, (description, metadata))| {
            EventData::AccountCreated(AccountCreated {
                owner_name,
                initial_balance,
                overdraft_limit,
                description,
                metadata,
            })
        },
    );
    let transfer = option::of((uuid(), account_id()));
    let moved = (any::<bool>(), money(currency), transfer, words()).prop_map(
        |(comes_in, amount, transfer, (description, metadata))| {
            let moved = MoneyMoved {
                amount,
                transfer: transfer.map(|(transfer_id, counterparty_account_id)| TransferLeg {
                    transfer_id: transfer_id.into(),
                    counterparty_account_id,
                }),
                description,
                metadata,
            };
            if comes_in {
                EventData::MoneyDeposited(moved)
            } else {
                EventData::MoneyWithdrawn(moved)
            }
        },
    );
    prop_oneof![1 => created, 2 => moved]
}

/// Any event that can be stored, with its own hash; what it says need not follow upon anything.
pub(crate) fn event() -> impl Strategy<Value = Event> {
    let times = Timestamp::MIN.unix_microseconds()..=Timestamp::MAX.unix_microseconds();
    currency()
        .prop_flat_map(move |currency| {
            (
                (
                    uuid(),
                    account_id(),
                    prop_oneof![1..=3_u64, 1..=Version::MAX.get()],
                ),
                (event_data(currency), money(currency), uuid()),
                (option::of(text(64)), times.clone(), hash()),
            )
        })
        .prop_map(
            |((event_id, account_id, version), (data, balance_after, command_id), rest)| {
                let (actor, recorded_at, prev_hash) = rest;
                let mut event = Event {
                    event_id: event_id.into(),
                    account_id,
                    version: Version::new(version),
                    data,
                    balance_after,
                    command_id: command_id.into(),
                    actor,
                    recorded_at: Timestamp::from_unix_microseconds(recorded_at),
                    prev_hash,
                    hash: Hash::ZERO,
                };
                event.hash = event.compute_hash();
                event
            },
        )
}

/// So many cases; a failure prints its smallest input, and nothing is kept in files.
pub(crate) fn cases(number: u32) -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(number)
    }
}
