//! The commands of the load: each is made from its number alone, and its id tells its number.

use serde_json::{Value, json};
use uuid::Uuid;

/// How many accounts there are; the first commands open them.
pub(crate) const ACCOUNTS: u64 = 1_000;
/// What each begins with: more than it can ever spend.
const OPENING_UNITS: u64 = 1_000_000;
/// Commands through HTTP have numbers from here on.
pub(crate) const THROUGH_HTTP: u64 = 1 << 40;
/// An id's lower half without the bits of its variant.
const NUMBER_MASK: u64 = (1 << 62) - 1;
/// Every so manieth command is a deposit, all others are transfers.
const DEPOSIT_EVERY: u64 = 10;

/// One command, to be published.
pub(crate) struct Made {
    pub(crate) account_id: String,
    pub(crate) document: Value,
}

/// The command with this number.
pub(crate) fn made(number: u64) -> Made {
    let command_id = id(number).to_string();
    if number < ACCOUNTS {
        let account_id = account(number);
        let document = json!({
            "command_id": command_id, "type": "create_account", "account_id": account_id, "owner_name": "the bench",
            "currency": "USD", "initial_balance": format!("{OPENING_UNITS}.00"),
        });
        return Made {
            account_id,
            document,
        };
    }
    let from = spread(number) % ACCOUNTS;
    let account_id = account(from);
    let document = if is_deposit(number) {
        json!({
            "command_id": command_id, "type": "deposit", "account_id": account_id, "amount": "1.00", "actor": "bench",
            "description": "a payment of the bench",
        })
    } else {
        let to = (from + 1 + spread(!number) % (ACCOUNTS - 1)) % ACCOUNTS;
        json!({
            "command_id": command_id, "type": "transfer", "from_account_id": account_id, "to_account_id": account(to),
            "amount": "1.00", "actor": "bench", "description": "a payment of the bench",
        })
    };
    Made {
        account_id,
        document,
    }
}

/// By how many whole units the command with this number makes the book larger, if it is accepted.
pub(crate) fn units_added(number: u64) -> u64 {
    match number {
        ..ACCOUNTS => OPENING_UNITS,
        _ if is_deposit(number) => 1,
        _ => 0,
    }
}

fn is_deposit(number: u64) -> bool {
    number >= THROUGH_HTTP || number.is_multiple_of(DEPOSIT_EVERY)
}

fn account(index: u64) -> String {
    format!("ACC-{index}")
}

/// The id of the command with this number. Ids are spread as random ones are.
pub(crate) fn id(number: u64) -> Uuid {
    let (high, low) = (spread(number).to_be_bytes(), number.to_be_bytes());
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&high);
    bytes[8..].copy_from_slice(&low);
    Uuid::new_v8(bytes)
}

/// The number of the command with this id; `None` if it is none of ours.
pub(crate) fn number(command_id: Uuid) -> Option<u64> {
    let number = command_id.as_u64_pair().1 & NUMBER_MASK;
    (id(number) == command_id).then_some(number)
}

fn spread(number: u64) -> u64 {
    let mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ (mixed >> 27)
}
