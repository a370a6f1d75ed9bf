//! The lines of an account, and transfers, as the read model has them now.

use axum::Json;
use axum::extract::State;
use ledger::{
    AccountId, CommandId, Currency, CurrencyCode, Money, Timestamp, TransferId, parse_decimal,
};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;
use sqlx::{Postgres, QueryBuilder, Row};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::accounts::{
    AsOf, check_limit, instant, money, page, parsed, sequence, unknown, unsigned, wait_for_version,
};
use super::extract::{InPath, InQuery, Number, parse};
use super::problem::Problem;
use super::{Api, cursor};

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(transfer))
}

/// A line of an account.
#[derive(Debug, Serialize, ToSchema)]
struct TransactionDocument {
    /// The event's id.
    transaction_id: Uuid,
    /// Its place in the account's history.
    version: u64,
    #[serde(rename = "type")]
    #[schema(value_type = Kind)]
    kind: String,
    /// What the line adds to the balance, with its sign; zero for one that moves no money.
    #[schema(value_type = String, example = "-25.00")]
    amount: Money,
    #[schema(value_type = String, example = "USD")]
    currency: CurrencyCode,
    #[schema(value_type = String, example = "75.00")]
    balance_after: Money,
    /// What the line adds to what is held, with its sign; zero for most.
    #[schema(value_type = String, example = "0.00")]
    held: Money,
    #[schema(value_type = String, example = "0.00")]
    held_after: Money,
    /// The hold that the line is about: also of money that was captured.
    hold_id: Option<Uuid>,
    /// The earlier command whose money the line moves back.
    reversed_command_id: Option<Uuid>,
    /// The business date: from when on the money counts as moved. Null when the command gave none: it is effective at
    /// `timestamp`.
    #[schema(value_type = Option<String>, format = DateTime)]
    effective_at: Option<Timestamp>,
    description: Option<String>,
    transfer_id: Option<Uuid>,
    /// The posting that the line is an entry of. Its other entries have the same.
    posting_id: Option<Uuid>,
    counterparty_account_id: Option<String>,
    command_id: Uuid,
    /// Who asked; null when the command did not say.
    actor: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    timestamp: Timestamp,
}

/// What kind of line.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Opening,
    Deposit,
    Withdrawal,
    TransferIn,
    TransferOut,
    /// A credit of a posting.
    PostingIn,
    /// A debit of a posting.
    PostingOut,
    /// Money that was held went to outside; to another account it is a `transfer_out` with a `hold_id`.
    Capture,
    Freeze,
    Unfreeze,
    Closing,
    OverdraftLimit,
    Rules,
    Update,
    Hold,
    Release,
    /// The time of a hold was over.
    Expiry,
}

impl Kind {
    /// As the read model writes it.
    fn as_str(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Deposit => "deposit",
            Self::Withdrawal => "withdrawal",
            Self::TransferIn => "transfer_in",
            Self::TransferOut => "transfer_out",
            Self::PostingIn => "posting_in",
            Self::PostingOut => "posting_out",
            Self::Capture => "capture",
            Self::Freeze => "freeze",
            Self::Unfreeze => "unfreeze",
            Self::Closing => "closing",
            Self::OverdraftLimit => "overdraft_limit",
            Self::Rules => "rules",
            Self::Update => "update",
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Expiry => "expiry",
        }
    }
}

/// A page of lines, newest first.
#[derive(Debug, Serialize, ToSchema)]
struct TransactionsPage {
    #[schema(value_type = String)]
    account_id: AccountId,
    transactions: Vec<TransactionDocument>,
    /// How many lines fit the filters, on all pages.
    total: u64,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    as_of: AsOf,
}

/// Which lines.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    /// Only those at or after this time.
    #[param(format = DateTime)]
    from: Option<String>,
    /// Only those before this time.
    #[param(format = DateTime)]
    to: Option<String>,
    /// Only those of this kind.
    #[serde(rename = "type")]
    #[param(inline)]
    kind: Option<Kind>,
    /// Only those whose amount, without its sign, is at least this.
    #[param(pattern = "^[0-9]{1,20}(\\.[0-9]{1,12})?$", example = "10.00")]
    min_amount: Option<String>,
    /// Only those whose amount, without its sign, is at most this.
    #[param(pattern = "^[0-9]{1,20}(\\.[0-9]{1,12})?$", example = "99.99")]
    max_amount: Option<String>,
    /// Only those that move the money of this command back.
    #[param(format = Uuid, example = "8a1c6f0e-3b52-4b7e-9d5e-0c1f2a3b4c04")]
    reversed_command_id: Option<String>,
    /// How many at the most.
    #[serde(default = "page")]
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: u32,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Wait until the read model has this version of the account; for a few seconds, then 503.
    #[param(value_type = Option<u64>, minimum = 0, maximum = 9_007_199_254_740_991_u64)]
    min_version: Option<Number>,
}

/// The lines of an account
///
/// Newest first.
#[utoipa::path(
    get, path = "/accounts/{account_id}/transactions", tag = "accounts", operation_id = "list_transactions",
    params(("account_id" = String, Path, pattern = "^[A-Za-z0-9_-]{1,64}$"), ListQuery),
    responses(
        (status = 200, description = "A page of lines", body = TransactionsPage),
        (status = 404, description = "There is no such account", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn list(
    State(api): State<Api>,
    InPath(account_id): InPath<AccountId>,
    InQuery(query): InQuery<ListQuery>,
) -> Result<Json<TransactionsPage>, Problem> {
    check_limit(query.limit)?;
    let wanted = Wanted::of(&query)?;
    wait_for_version(
        &api.read_model,
        "transactions",
        &account_id,
        query.min_version.map(|version| version.0),
        api.options.catch_up_within,
    )
    .await?;
    let rows = wanted
        .page_of(&account_id, query.limit)
        .build()
        .fetch_all(&api.read_model)
        .await?;
    let first = rows
        .first()
        .ok_or_else(|| Problem::internal("a statement that always answers has not"))?;
    let applied: Option<i64> = first.try_get("applied_version")?;
    let Some(version) = applied.and_then(|version| u64::try_from(version).ok()) else {
        return Err(unknown(&account_id));
    };
    let counted: Option<i64> = first.try_get("total")?;
    // Every event is a line: without filters there are as many as the account has versions.
    let total = counted.map_or(Ok(version), u64::try_from);
    let mut transactions = Vec::with_capacity(rows.len());
    for row in &rows {
        if row.try_get::<Option<i64>, _>("version")?.is_some() {
            transactions.push(document(row)?);
        }
    }
    let has_more = transactions.len() > query.limit as usize;
    transactions.truncate(query.limit as usize);
    let last = transactions.last().filter(|_| has_more);
    Ok(Json(TransactionsPage {
        account_id,
        total: total.map_err(Problem::internal)?,
        next_cursor: last.map(|last| cursor::encode(&last.version)),
        as_of: AsOf {
            version: Some(version),
            sequence: sequence(first)?,
        },
        transactions,
    }))
}

/// Which lines are wanted.
struct Wanted {
    from: Option<OffsetDateTime>,
    to: Option<OffsetDateTime>,
    kind: Option<Kind>,
    min_amount: Option<Decimal>,
    max_amount: Option<Decimal>,
    reversed_command_id: Option<CommandId>,
    /// Only versions below this one: the page before ended there.
    before: Option<i64>,
}

impl Wanted {
    fn of(query: &ListQuery) -> Result<Self, Problem> {
        let time = |name, text: &Option<String>| -> Result<_, Problem> {
            let time = text.as_deref().map(|text| parse::<Timestamp>(name, text));
            Ok(time.transpose()?.map(Timestamp::to_date_time))
        };
        let amount = |name, text: &Option<String>| -> Result<_, Problem> {
            let amount = text.as_deref().map(parse_decimal).transpose();
            amount.map_err(|error| Problem::invalid_parameter(format!("{name}: {error}")))
        };
        let before: Option<u64> = query.cursor.as_deref().map(cursor::decode).transpose()?;
        let before = before
            .map(|before| i64::try_from(before).map_err(|_| cursor::foreign()))
            .transpose()?;
        let reversed = query.reversed_command_id.as_deref();
        let reversed = reversed.map(|text| parse("reversed_command_id", text));
        Ok(Self {
            reversed_command_id: reversed.transpose()?,
            from: time("from", &query.from)?,
            to: time("to", &query.to)?,
            kind: query.kind,
            min_amount: amount("min_amount", &query.min_amount)?,
            max_amount: amount("max_amount", &query.max_amount)?,
            before,
        })
    }

    fn is_filtered(&self) -> bool {
        self.from.is_some()
            || self.to.is_some()
            || self.kind.is_some()
            || self.min_amount.is_some()
            || self.max_amount.is_some()
            || self.reversed_command_id.is_some()
    }

    /// One statement, so one instant: the page (and one line more, to know whether there is another page), how many lines
    /// fit the filters, and where the read model stands, which the left join answers also when the page is empty.
    ///
    /// Time rises with the version, so both orders are the same, and the index on time serves a narrow window of a long
    /// history.
    fn page_of(&self, account_id: &AccountId, limit: u32) -> QueryBuilder<Postgres> {
        let mut sql = QueryBuilder::new(
            "SELECT page.*,
                (SELECT last_sequence FROM projection_offsets WHERE projection = 'transactions') AS sequence,
                (SELECT version FROM projection_versions WHERE projection = 'transactions' AND account_id = ",
        );
        sql.push_bind(account_id.to_string());
        sql.push(") AS applied_version, ");
        if self.is_filtered() {
            sql.push("(SELECT count(*) FROM transactions");
            self.push_filters(&mut sql, account_id);
            sql.push(")");
        } else {
            sql.push("NULL::bigint");
        }
        sql.push(" AS total FROM (SELECT 1) AS always LEFT JOIN (SELECT * FROM transactions");
        self.push_filters(&mut sql, account_id);
        if let Some(before) = self.before {
            sql.push(" AND version < ").push_bind(before);
        }
        sql.push(" ORDER BY timestamp DESC, version DESC LIMIT ")
            .push_bind(i64::from(limit) + 1);
        sql.push(") AS page ON true ORDER BY timestamp DESC, page.version DESC");
        sql
    }

    fn push_filters(&self, sql: &mut QueryBuilder<Postgres>, account_id: &AccountId) {
        sql.push(" WHERE account_id = ")
            .push_bind(account_id.to_string());
        if let Some(from) = self.from {
            sql.push(" AND timestamp >= ").push_bind(from);
        }
        if let Some(to) = self.to {
            sql.push(" AND timestamp < ").push_bind(to);
        }
        if let Some(kind) = self.kind {
            sql.push(" AND type = ").push_bind(kind.as_str());
        }
        if let Some(amount) = self.min_amount {
            sql.push(" AND abs(amount) >= ").push_bind(amount);
        }
        if let Some(amount) = self.max_amount {
            sql.push(" AND abs(amount) <= ").push_bind(amount);
        }
        if let Some(command_id) = self.reversed_command_id {
            sql.push(" AND reversed_command_id = ")
                .push_bind(command_id.as_uuid());
        }
    }
}

/// What has no value in the read model is nothing.
fn money_or_none(row: &PgRow, name: &str, currency: Currency) -> Result<Money, Problem> {
    let value: Option<Decimal> = row.try_get(name)?;
    value.map_or(Ok(Money::zero(currency)), |value| {
        Money::from_database(value, currency).map_err(Problem::internal)
    })
}

fn document(row: &PgRow) -> Result<TransactionDocument, Problem> {
    let code: CurrencyCode = parsed(row, "currency")?;
    let currency = Currency::lookup(code).map_err(Problem::internal)?;
    Ok(TransactionDocument {
        transaction_id: row.try_get("transaction_id")?,
        version: unsigned(row, "version")?,
        kind: row.try_get("type")?,
        amount: money(row, "amount", currency)?,
        currency: code,
        balance_after: money(row, "balance_after", currency)?,
        held: money_or_none(row, "held", currency)?,
        held_after: money_or_none(row, "held_after", currency)?,
        hold_id: row.try_get("hold_id")?,
        reversed_command_id: row.try_get("reversed_command_id")?,
        effective_at: row
            .try_get::<Option<OffsetDateTime>, _>("effective_at")?
            .map(Timestamp::from_date_time),
        description: row.try_get("description")?,
        transfer_id: row.try_get("transfer_id")?,
        posting_id: row.try_get("posting_id")?,
        counterparty_account_id: row.try_get("counterparty_account_id")?,
        command_id: row.try_get("command_id")?,
        actor: row.try_get("actor")?,
        timestamp: instant(row, "timestamp")?,
    })
}

/// A transfer.
#[derive(Debug, Serialize, ToSchema)]
struct TransferDocument {
    transfer_id: Uuid,
    from_account_id: String,
    to_account_id: String,
    #[schema(value_type = String, example = "25.00")]
    amount: Money,
    #[schema(value_type = String, example = "USD")]
    currency: CurrencyCode,
    /// `pending` while the read model has only one of its two events; both are committed together.
    status: String,
    description: Option<String>,
    command_id: Uuid,
    #[schema(value_type = String, format = DateTime)]
    timestamp: Timestamp,
    as_of: AsOf,
}

/// One transfer
#[utoipa::path(
    get, path = "/transfers/{transfer_id}", tag = "accounts", operation_id = "get_transfer",
    params(("transfer_id" = String, Path, format = Uuid)),
    responses(
        (status = 200, description = "The transfer", body = TransferDocument),
        (status = 404, description = "There is no such transfer", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn transfer(
    State(api): State<Api>,
    InPath(transfer_id): InPath<TransferId>,
) -> Result<Json<TransferDocument>, Problem> {
    let row = sqlx::query(
        "SELECT transfer_id, from_account_id, to_account_id, amount, currency, status, description, command_id, timestamp,
            (SELECT last_sequence FROM projection_offsets WHERE projection = 'transfers') AS sequence
         FROM transfers WHERE transfer_id = $1",
    )
    .bind(transfer_id.as_uuid())
    .fetch_optional(&api.read_model)
    .await?
    .ok_or_else(|| {
        let detail = format!("there is no transfer {transfer_id}, or the read model does not have it yet");
        Problem::not_found("transfer_not_found", detail)
    })?;
    let code: CurrencyCode = parsed(&row, "currency")?;
    let currency = Currency::lookup(code).map_err(Problem::internal)?;
    Ok(Json(TransferDocument {
        transfer_id: row.try_get("transfer_id")?,
        from_account_id: row.try_get("from_account_id")?,
        to_account_id: row.try_get("to_account_id")?,
        amount: money(&row, "amount", currency)?,
        currency: code,
        status: row.try_get("status")?,
        description: row.try_get("description")?,
        command_id: row.try_get("command_id")?,
        timestamp: instant(&row, "timestamp")?,
        as_of: AsOf {
            version: None,
            sequence: sequence(&row)?,
        },
    }))
}
