//! Rows as values: what stands in the tables, read back and checked.

use ledger::codec::json;
use ledger::{
    Account, AccountId, Currency, DayDebits, Event, Hash, Money, Outcome, Profile, Restrictions,
    Timestamp, Verdict, Version, parse_decimal,
};
use sqlx::postgres::PgRow;
use sqlx::{Row, ValueRef};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::Error;
use crate::read::StoredCommand;

/// The columns of an event, for every statement that reads events.
pub(crate) const EVENT_COLUMNS: &str = "account_id, version, event_id, event_type, command_id, data::text AS data, \
     balance_after::text AS balance_after, actor, recorded_at, prev_hash, hash, held_after::text AS held_after, part";

/// An error about one row of `events`.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that map_err wants"
)]
fn unreadable(row: &PgRow, message: impl ToString) -> Error {
    Error::Unreadable {
        account_id: row.try_get("account_id").unwrap_or_default(),
        version: row.try_get("version").unwrap_or_default(),
        message: message.to_string(),
    }
}

/// A column whose type the statement fixes; a decode error (e.g. NaN in a NUMERIC) is a damaged row.
fn column<'r, T>(row: &'r PgRow, name: &str) -> Result<T, Error>
where
    T: sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    row.try_get(name).map_err(|error| unreadable(row, error))
}

/// An event from a row with [`EVENT_COLUMNS`].
pub(crate) fn event(row: &PgRow) -> Result<Event, Error> {
    let (data, currency) =
        json::decode_event_data(column(row, "event_type")?, column(row, "data")?)
            .map_err(|error| unreadable(row, error))?;
    Ok(Event {
        event_id: column::<Uuid>(row, "event_id")?.into(),
        account_id: account_id(row)?,
        version: version(row, "version")?,
        data,
        balance_after: balance(row, currency)?,
        held_after: held(row, currency)?,
        command_id: column::<Uuid>(row, "command_id")?.into(),
        part: part(row)?,
        actor: column(row, "actor")?,
        recorded_at: recorded_at(row)?,
        prev_hash: hash(row, "prev_hash")?,
        hash: hash(row, "hash")?,
    })
}

/// An account from a head row joined with its newest profile.
pub(crate) fn account(row: &PgRow) -> Result<Account, Error> {
    let profile: Profile = serde_json::from_str(column(row, "profile")?)
        .map_err(|error| unreadable(row, format!("profile: {error}")))?;
    let currency = Currency::lookup(profile.currency).map_err(|error| unreadable(row, error))?;
    let overdraft_limit = parse_decimal(&profile.overdraft_limit)
        .and_then(|value| Money::new(value, currency))
        .map_err(|error| unreadable(row, format!("overdraft_limit: {error}")))?;
    let day_debits: Option<DayDebits<String>> = column::<Option<&str>>(row, "day_debits")?
        .map(serde_json::from_str)
        .transpose()
        .map_err(|error| unreadable(row, format!("day_debits: {error}")))?;
    let restrictions = Restrictions::read(profile.rules.as_ref(), day_debits.as_ref(), currency)
        .map_err(|error| unreadable(row, format!("rules: {error}")))?;
    Ok(Account {
        account_id: account_id(row)?,
        version: version(row, "version")?,
        owner_name: profile.owner_name,
        balance: balance(row, currency)?,
        held: held(row, currency)?,
        overdraft_limit,
        status: profile.status,
        freeze_reason: profile.freeze_reason,
        metadata: profile.metadata,
        restrictions,
        profile_version: version(row, "profile_version")?,
        last_recorded_at: recorded_at(row)?,
        last_hash: hash(row, "hash")?,
    })
}

pub(crate) fn account_id(row: &PgRow) -> Result<AccountId, Error> {
    column::<&str>(row, "account_id")?
        .parse()
        .map_err(|error| unreadable(row, error))
}

pub(crate) fn version(row: &PgRow, name: &str) -> Result<Version, Error> {
    u64::try_from(column::<i64>(row, name)?)
        .map(Version::new)
        .map_err(|error| unreadable(row, format!("{name}: {error}")))
}

/// A NUMERIC loses trailing zeros on its way through the database, also those before the point (1E+4, which is why it is
/// read as text): rescaled before it is compared or hashed.
fn balance(row: &PgRow, currency: Currency) -> Result<Money, Error> {
    balance_of(row, column(row, "balance_after")?, currency)
}

/// As [`balance`], of a text that stands elsewhere.
pub(crate) fn balance_of(row: &PgRow, text: &str, currency: Currency) -> Result<Money, Error> {
    amount(row, "balance_after", text, currency)
}

/// As [`balance`]; nothing is held where there is no value.
fn held(row: &PgRow, currency: Currency) -> Result<Money, Error> {
    match column(row, "held_after")? {
        None => Ok(Money::zero(currency)),
        Some(text) => amount(row, "held_after", text, currency),
    }
}

fn part(row: &PgRow) -> Result<Option<u32>, Error> {
    column::<Option<i64>>(row, "part")?
        .map(u32::try_from)
        .transpose()
        .map_err(|error| unreadable(row, format!("part: {error}")))
}

fn amount(row: &PgRow, name: &str, text: &str, currency: Currency) -> Result<Money, Error> {
    parse_decimal(text)
        .and_then(|value| Money::from_database(value, currency))
        .map_err(|error| unreadable(row, format!("{name}: {error}")))
}

pub(crate) fn recorded_at(row: &PgRow) -> Result<Timestamp, Error> {
    instant(row, "recorded_at").map_err(|error| unreadable(row, error))
}

/// A TIMESTAMPTZ, taken as the number that the servers send: microseconds since the year 2000. An infinite one, or one
/// beyond the year 9999, is an error; sqlx panics at it.
pub(crate) fn instant(row: &PgRow, name: &str) -> Result<Timestamp, String> {
    const YEAR_2000_MICROSECONDS: i64 = 946_684_800_000_000;
    let since_2000: i64 = row
        .try_get_unchecked(name)
        .map_err(|error| format!("{name}: {error}"))?;
    since_2000
        .checked_add(YEAR_2000_MICROSECONDS)
        .and_then(Timestamp::try_from_unix_microseconds)
        .ok_or_else(|| format!("{name} lies outside the years 1 to 9999"))
}

/// As [`instant`], of a column that may have no value.
pub(crate) fn optional_instant(
    row: &PgRow,
    name: &str,
) -> Result<Option<Result<Timestamp, String>>, Error> {
    let is_null = row.try_get_raw(name)?.is_null();
    Ok((!is_null).then(|| instant(row, name)))
}

/// What a clock of the database says.
pub(crate) fn clock(row: &PgRow, name: &str) -> Result<Timestamp, Error> {
    let now: OffsetDateTime = row.try_get(name)?;
    Ok(Timestamp::from_date_time(now))
}

/// A column that may have no value.
pub(crate) fn optional<'r, T>(row: &'r PgRow, name: &str) -> Result<Option<T>, Error>
where
    T: sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    row.try_get(name).map_err(|error| unreadable(row, error))
}

fn hash(row: &PgRow, name: &str) -> Result<Hash, Error> {
    Hash::try_from(column::<&[u8]>(row, name)?)
        .map_err(|length| unreadable(row, format!("{name} has {length} bytes, and a hash has 32")))
}

/// What the column `outcome` holds: the outcome without the command's id, which stands beside it.
pub(crate) fn encode_verdict(outcome: &Outcome) -> String {
    serde_json::to_string(&outcome.verdict).expect("a verdict always becomes JSON")
}

/// A row of `commands`.
pub(crate) fn stored_command(row: &PgRow) -> Result<StoredCommand, Error> {
    let command_id: Uuid = row.try_get("command_id")?;
    let unreadable = |message: String| Error::UnreadableCommand {
        command_id,
        message,
    };
    let verdict: Verdict = serde_json::from_str(row.try_get("outcome")?)
        .map_err(|error| unreadable(format!("outcome: {error}")))?;
    let fingerprint =
        Hash::try_from(row.try_get::<&[u8], _>("fingerprint")?).map_err(|length| {
            unreadable(format!("fingerprint has {length} bytes, and a hash has 32"))
        })?;
    Ok(StoredCommand {
        outcome: Outcome {
            command_id: command_id.into(),
            verdict,
        },
        fingerprint,
        recorded_at: instant(row, "recorded_at").map_err(unreadable)?,
    })
}
