//! Arbitrary commands and events: everything that the codecs must carry, and nothing that they refuse.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::BTreeMap;

use ledger::{
    AccountClosed, AccountCreated, AccountId, AccountRulesSet, AccountUpdated, Action, Batch,
    Capture, CloseAccount, Command, CommandId, Conditions, CreateAccount, Currency, CurrencyCode,
    Deposit, Direction, Entry, Event, EventData, Exchange, ExpireHold, FreezeAccount,
    FreezeChanged, Hash, Hold, HoldChanged, HoldId, Money, MoneyMoved, OverdraftLimitSet,
    PlaceHold, Post, Price, Release, Reversal, Reverse, Rules, Scope, SetAccountRules,
    SetOverdraftLimit, Timestamp, Transfer, TransferLeg, UnfreezeAccount, UpdateAccount, Version,
    Withdraw,
};
use proptest::char::range;
use proptest::collection::{btree_map, btree_set, vec};
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
fn decimal(scale_max: u32) -> impl Strategy<Value = Decimal> + Clone {
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

fn instant() -> impl Strategy<Value = Timestamp> {
    let (first, last) = (Timestamp::MIN, Timestamp::MAX);
    prop_oneof![
        1 => select(vec![first, last]),
        9 => (first.unix_microseconds()..=last.unix_microseconds())
            .prop_map(Timestamp::from_unix_microseconds),
    ]
}

fn scope() -> impl Strategy<Value = Scope> {
    select(Scope::ALL.to_vec())
}

fn hold_id() -> impl Strategy<Value = HoldId> {
    uuid().prop_map(HoldId::from)
}

/// On the heap, as strategies made of many are too large for a test's stack.
fn action() -> BoxedStrategy<Action> {
    prop_oneof![
        4 => movement().boxed(),
        4 => life().boxed(),
        4 => of_a_hold().boxed(),
        2 => reverse().boxed(),
        2 => post().boxed(),
        1 => exchange().boxed(),
        1 => set_account_rules().boxed(),
    ]
    .boxed()
}

/// Any rules, some, or none, with amounts of that kind.
fn rules<A: std::fmt::Debug>(
    amount: impl Strategy<Value = A> + Clone,
) -> impl Strategy<Value = Rules<A>> {
    (
        option::of(btree_set(account_id(), 0..5)),
        option::of(amount.clone()),
        option::of(any::<u32>()),
        option::of(amount.clone()),
        option::of(amount),
    )
        .prop_map(
            |(allowed, daily_amount, daily_count, maximum, minimum)| Rules {
                allowed_counterparties: allowed,
                daily_debit_amount_max: daily_amount,
                daily_debit_count_max: daily_count,
                maximum_balance: maximum,
                minimum_balance: minimum,
            },
        )
}

fn set_account_rules() -> impl Strategy<Value = Action> {
    (account_id(), rules(decimal(28))).prop_map(|(account_id, rules)| {
        Action::SetAccountRules(SetAccountRules { account_id, rules })
    })
}

fn exchange() -> impl Strategy<Value = Action> {
    let accounts = (account_id(), account_id(), account_id(), account_id());
    (accounts, decimal(28), any::<bool>(), decimal(28)).prop_map(
        |((from, to, taker, giver), amount, has_rate, price)| {
            Action::Exchange(Exchange {
                from_account_id: from,
                to_account_id: to,
                from_clearing_account_id: taker,
                to_clearing_account_id: giver,
                amount,
                price: if has_rate {
                    Price::Rate(price)
                } else {
                    Price::ToAmount(price)
                },
            })
        },
    )
}

fn post() -> impl Strategy<Value = Action> {
    let entry = (
        account_id(),
        any::<bool>(),
        decimal(28),
        option::of(currency_code()),
    )
        .prop_map(|(account_id, is_debit, amount, currency)| Entry {
            account_id,
            direction: if is_debit {
                Direction::Debit
            } else {
                Direction::Credit
            },
            amount,
            currency,
        });
    vec(entry, 1..5).prop_map(|entries| Action::Post(Post { entries }))
}

/// What is done to an account besides opening it and moving its money.
fn life() -> impl Strategy<Value = Action> {
    let freeze = (account_id(), scope(), text(128)).prop_map(|(account_id, scope, reason)| {
        Action::FreezeAccount(FreezeAccount {
            account_id,
            scope,
            reason,
        })
    });
    let unfreeze =
        (account_id(), scope(), option::of(text(128))).prop_map(|(account_id, scope, reason)| {
            Action::UnfreezeAccount(UnfreezeAccount {
                account_id,
                scope,
                reason,
            })
        });
    let close =
        (account_id(), option::of(account_id())).prop_map(|(account_id, sweep_to_account_id)| {
            Action::CloseAccount(CloseAccount {
                account_id,
                sweep_to_account_id,
            })
        });
    let set_overdraft_limit =
        (account_id(), decimal(28)).prop_map(|(account_id, overdraft_limit)| {
            Action::SetOverdraftLimit(SetOverdraftLimit {
                account_id,
                overdraft_limit,
            })
        });
    let update = (account_id(), option::of(text(64)), option::of(metadata()))
        .prop_filter("something changes", |(_, owner_name, account_metadata)| {
            owner_name.is_some() || account_metadata.is_some()
        })
        .prop_map(|(account_id, owner_name, account_metadata)| {
            Action::UpdateAccount(UpdateAccount {
                account_id,
                owner_name,
                account_metadata,
            })
        });
    prop_oneof![freeze, unfreeze, close, set_overdraft_limit, update]
}

fn of_a_hold() -> impl Strategy<Value = Action> {
    let place = (
        account_id(),
        hold_id(),
        decimal(28),
        option::of(currency_code()),
        option::of(instant()),
    )
        .prop_map(|(account_id, hold_id, amount, currency, hold_expires_at)| {
            Action::Hold(PlaceHold {
                account_id,
                hold_id,
                amount,
                currency,
                hold_expires_at,
            })
        });
    let capture = (
        account_id(),
        hold_id(),
        option::of(decimal(28)),
        any::<bool>(),
        option::of(account_id()),
    )
        .prop_map(|(account_id, hold_id, amount, is_final, to_account_id)| {
            Action::Capture(Capture {
                account_id,
                hold_id,
                amount,
                is_final,
                to_account_id,
            })
        });
    let release = (account_id(), hold_id(), option::of(decimal(28))).prop_map(
        |(account_id, hold_id, amount)| {
            Action::Release(Release {
                account_id,
                hold_id,
                amount,
            })
        },
    );
    let expire = (account_id(), hold_id()).prop_map(|(account_id, hold_id)| {
        Action::ExpireHold(ExpireHold {
            account_id,
            hold_id,
        })
    });
    prop_oneof![place, capture, release, expire]
}

fn reverse() -> impl Strategy<Value = Action> {
    (account_id(), uuid(), option::of(decimal(28)), text(128)).prop_map(
        |(account_id, reversed_command_id, amount, reason)| {
            Action::Reverse(Reverse {
                account_id,
                reversed_command_id: reversed_command_id.into(),
                amount,
                reason,
            })
        },
    )
}

/// What opens an account or moves money.
fn movement() -> impl Strategy<Value = Action> {
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

fn conditions() -> impl Strategy<Value = Conditions> {
    let expected_version = option::of(prop_oneof![0..=3_u64, 0..=Version::MAX.get()]);
    (
        expected_version,
        option::weighted(0.2, decimal(28)),
        option::weighted(0.2, instant()),
        option::weighted(0.2, instant()),
    )
        .prop_map(
            |(expected_version, if_balance_at_least, not_before, expires_at)| Conditions {
                expected_version: expected_version.map(Version::new),
                if_balance_at_least,
                not_before,
                expires_at,
            },
        )
}

/// Any command that can be on the wire.
pub(crate) fn command() -> impl Strategy<Value = Command> {
    (uuid(), option::of(text(64))).prop_flat_map(|(command_id, actor)| {
        let one = || one_command(command_id.into(), actor.clone());
        let commands = vec(one(), 1..4);
        let batch = (one(), commands).prop_map(|(command, commands)| Command {
            action: Action::Batch(Batch { commands }),
            effective_at: None,
            ..command
        });
        prop_oneof![6 => one(), 1 => batch]
    })
}

/// A command that is no batch.
fn one_command(command_id: CommandId, actor: Option<String>) -> BoxedStrategy<Command> {
    let words = (option::of(text(512)), metadata());
    let dated = option::weighted(0.3, instant());
    (action(), words, conditions(), dated)
        .prop_map(
            move |(action, (description, metadata), conditions, effective_at)| Command {
                command_id,
                effective_at: effective_at.filter(|_| action.moves_money()),
                action,
                description,
                actor: actor.clone(),
                metadata,
                conditions,
            },
        )
        .boxed()
}

fn currency() -> impl Strategy<Value = Currency> {
    select(vec!["JPY", "USD", "EUR", "BHD", "CLF"])
        .prop_map(|code| Currency::lookup(code.parse().expect("a code")).expect("a currency"))
}

fn money(currency: Currency) -> impl Strategy<Value = Money> + Clone {
    (any::<i128>(), 0..=27_u32).prop_map(move |(digits, length)| {
        let digits = digits % 10_i128.pow(length);
        let value = Decimal::from_i128_with_scale(digits, currency.exponent());
        Money::new(value, currency).expect("made to fit")
    })
}

type Words = (Option<String>, BTreeMap<String, String>);

/// What every event has of its command.
fn words() -> impl Strategy<Value = Words> {
    (option::of(text(512)), metadata())
}

fn hold(currency: Currency) -> impl Strategy<Value = Hold> {
    let money = || money(currency);
    (hold_id(), money(), money(), money(), option::of(instant())).prop_map(
        |(hold_id, amount, captured, remaining, expires_at)| Hold {
            hold_id,
            amount,
            captured,
            remaining,
            expires_at,
        },
    )
}

fn event_data(currency: Currency) -> impl Strategy<Value = EventData> {
    prop_oneof![
        3 => moved(currency),
        4 => account_changed(currency),
        3 => hold_changed(currency),
    ]
}

fn reversal(currency: Currency) -> impl Strategy<Value = Reversal> {
    (uuid(), money(currency), text(128)).prop_map(|(command_id, reversed, reason)| Reversal {
        command_id: command_id.into(),
        reversed,
        reason,
    })
}

fn moved(currency: Currency) -> impl Strategy<Value = EventData> {
    // Half of a transfer, entry of a posting, or neither.
    let transfer = option::of((uuid(), option::of(account_id())));
    let (hold, reversal) = (option::of(hold(currency)), option::of(reversal(currency)));
    let tail = (transfer, hold, reversal, option::weighted(0.3, instant()));
    (any::<bool>(), money(currency), tail, words()).prop_map(
        |(comes_in, amount, tail, (description, metadata))| {
            let (transfer, hold, reversal, effective_at) = tail;
            let (transfer, posting_id) = match transfer {
                Some((id, Some(counterparty_account_id))) => {
                    let leg = TransferLeg {
                        transfer_id: id.into(),
                        counterparty_account_id,
                    };
                    (Some(leg), None)
                }
                Some((id, None)) => (None, Some(id.into())),
                None => (None, None),
            };
            let moved = MoneyMoved {
                reversal,
                effective_at,
                amount,
                transfer,
                posting_id,
                hold: hold.filter(|_| !comes_in),
                description,
                metadata,
            };
            if comes_in {
                EventData::MoneyDeposited(moved)
            } else {
                EventData::MoneyWithdrawn(moved)
            }
        },
    )
}

fn account_changed(currency: Currency) -> impl Strategy<Value = EventData> {
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
    let freeze = (any::<bool>(), scope(), option::of(text(128)), words()).prop_map(
        |(is_frozen, scope, reason, (description, metadata))| {
            let changed = FreezeChanged {
                scope,
                reason,
                description,
                metadata,
            };
            if is_frozen {
                EventData::AccountFrozen(changed)
            } else {
                EventData::AccountUnfrozen(changed)
            }
        },
    );
    let closed = words().prop_map(|(description, metadata)| {
        EventData::AccountClosed(AccountClosed {
            description,
            metadata,
        })
    });
    let limit =
        (money(currency), words()).prop_map(|(overdraft_limit, (description, metadata))| {
            EventData::OverdraftLimitSet(OverdraftLimitSet {
                overdraft_limit,
                description,
                metadata,
            })
        });
    let updated = (option::of(text(64)), option::of(metadata()), words()).prop_map(
        |(owner_name, account_metadata, (description, metadata))| {
            EventData::AccountUpdated(AccountUpdated {
                owner_name,
                account_metadata,
                description,
                metadata,
            })
        },
    );
    let ruled = (rules(money(currency)), words()).prop_map(|(rules, (description, metadata))| {
        EventData::AccountRulesSet(AccountRulesSet {
            rules,
            description,
            metadata,
        })
    });
    prop_oneof![1 => created, 2 => freeze, 1 => closed, 1 => limit, 2 => updated, 2 => ruled]
}

fn hold_changed(currency: Currency) -> impl Strategy<Value = EventData> {
    let of = [
        EventData::HoldPlaced,
        EventData::HoldReleased,
        EventData::HoldExpired,
    ];
    (0..of.len(), money(currency), hold(currency), words()).prop_map(
        move |(kind, amount, hold, (description, metadata))| {
            of[kind](HoldChanged {
                amount,
                hold,
                description,
                metadata,
            })
        },
    )
}

/// Any event that can be stored, with its own hash; what it says need not follow upon anything.
pub(crate) fn event() -> impl Strategy<Value = Event> {
    currency()
        .prop_flat_map(move |currency| {
            let held_after = prop_oneof![Just(Money::zero(currency)), money(currency)];
            (
                (
                    uuid(),
                    account_id(),
                    prop_oneof![1..=3_u64, 1..=Version::MAX.get()],
                ),
                (event_data(currency), money(currency), held_after, uuid()),
                option::weighted(0.2, any::<u32>()),
                (option::of(text(64)), instant(), hash()),
            )
        })
        .prop_map(|((event_id, account_id, version), what, part, rest)| {
            let (data, balance_after, held_after, command_id) = what;
            let (actor, recorded_at, prev_hash) = rest;
            let mut event = Event {
                event_id: event_id.into(),
                account_id,
                version: Version::new(version),
                data,
                balance_after,
                held_after,
                command_id: command_id.into(),
                part,
                actor,
                recorded_at,
                prev_hash,
                hash: Hash::ZERO,
            };
            event.hash = event.compute_hash();
            event
        })
}

/// So many cases; a failure prints its smallest input, and nothing is kept in files.
pub(crate) fn cases(number: u32) -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(number)
    }
}
