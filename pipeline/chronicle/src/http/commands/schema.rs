//! The forms of commands and outcomes, for the description of the API. The decoder in `ledger` is what counts; a test
//! holds these forms against it.
#![expect(dead_code, reason = "only described, never made")]

use std::collections::BTreeMap;

use serde_json::json;
use utoipa::openapi::schema::{OneOfBuilder, SchemaType};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};
use utoipa::{IntoParams, PartialSchema, ToSchema};

use super::EventPlace;

/// An amount: a decimal string, or a JSON number that is read digit by digit.
pub(in crate::http) struct Amount;

impl PartialSchema for Amount {
    fn schema() -> RefOr<Schema> {
        let text = ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::String))
            .pattern(Some("^-?[0-9]{1,20}(\\.[0-9]{1,12})?$"))
            .examples([json!("25.00")]);
        let number = ObjectBuilder::new().schema_type(SchemaType::Type(Type::Number));
        OneOfBuilder::new()
            .item(text)
            .item(number)
            .description(Some(
                "A decimal string such as \"25.00\", with at most as many decimals as the currency has; a JSON number is \
                 read digit by digit, never through a float",
            ))
            .into()
    }
}

impl ToSchema for Amount {}

/// A rate: written like an amount, with as many decimals as it needs.
pub(super) struct Rate;

impl PartialSchema for Rate {
    fn schema() -> RefOr<Schema> {
        let text = ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::String))
            .pattern(Some("^[0-9]{1,27}(\\.[0-9]{1,28})?$"))
            .examples([json!("0.92")]);
        let number = ObjectBuilder::new().schema_type(SchemaType::Type(Type::Number));
        OneOfBuilder::new()
            .item(text)
            .item(number)
            .description(Some(
                "A decimal string such as \"0.92\", with at most 27 digits and 28 decimals; a JSON number is read digit by \
                 digit, never through a float",
            ))
            .into()
    }
}

impl ToSchema for Rate {}

/// What a request for a command can have besides its body.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(super) struct CommandHeaders {
    /// The command's id, a UUID: the same key again is the same command again, and gets the same answer. Instead of
    /// `command_id` in the body; without both the server makes one.
    #[param(rename = "Idempotency-Key", format = Uuid, required = false)]
    idempotency_key: Option<String>,
    /// `respond-async`: do not wait for the outcome. `wait=N`: wait for at most N seconds.
    #[param(rename = "Prefer", required = false, example = "wait=5")]
    prefer: Option<String>,
}

/// Makes the form of a command: its own fields, and those that every command has.
macro_rules! command {
    ($(#[$about:meta])* $name:ident { $($(#[$field_about:meta])* $field:ident: $kind:ty,)* }) => {
        $(#[$about])*
        #[derive(ToSchema)]
        #[schema(rename_all = "snake_case")]
        #[serde(deny_unknown_fields)]
        pub(super) struct $name {
            $($(#[$field_about])* $field: $kind,)*
            /// The command's id, if no header says it.
            #[schema(format = Uuid)]
            command_id: Option<String>,
            /// Why.
            #[schema(max_length = 2048)]
            description: Option<String>,
            /// Who asks; with tokens, the token's name if it is absent.
            #[schema(max_length = 256)]
            actor: Option<String>,
            /// Something to find again.
            metadata: Option<BTreeMap<String, String>>,
            /// The version that the account must have. Conditions are about the account debited, or the only one.
            #[schema(minimum = 0, maximum = 9_007_199_254_740_991_u64)]
            expected_version: Option<u64>,
            /// The balance that the account must have at least.
            #[schema(value_type = Option<Amount>)]
            if_balance_at_least: Option<Amount>,
            /// It is refused if it is decided before this instant; the ledger keeps none back.
            #[schema(format = DateTime, example = "2026-01-31T12:00:00.000001Z")]
            not_before: Option<String>,
            /// It is refused if it is decided at or after this instant.
            #[schema(format = DateTime, example = "2126-01-31T12:00:00Z")]
            expires_at: Option<String>,
        }
    };
}

command! {
    /// Opens an account.
    CreateAccount {
        /// The new account's name.
        #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$", example = "ALICE")]
        account_id: String,
        /// Whose it is.
        #[schema(min_length = 1, max_length = 256, example = "Alice")]
        owner_name: String,
        /// ISO 4217.
        #[schema(pattern = "^[A-Z][A-Z0-9]{2,11}$", example = "USD")]
        currency: String,
        /// What is in it from the start; nothing, if absent.
        #[schema(value_type = Option<Amount>)]
        initial_balance: Option<Amount>,
        /// How far below zero the balance may fall; not at all, if absent.
        #[schema(value_type = Option<Amount>)]
        overdraft_limit: Option<Amount>,
    }
}

command! {
    /// Moves money into an account or out of it.
    Movement {
        /// The account.
        #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$", example = "ALICE")]
        account_id: String,
        /// How much: more than zero.
        #[schema(value_type = Amount)]
        amount: Amount,
        /// The account's currency, to be sure.
        #[schema(pattern = "^[A-Z][A-Z0-9]{2,11}$", example = "USD")]
        currency: Option<String>,
        /// The business date: from when on the money counts as moved. When it is recorded, if absent.
        #[schema(format = DateTime)]
        effective_at: Option<String>,
    }
}

command! {
    /// Moves money from one account to another.
    Transfer {
        /// The account debited.
        #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$", example = "ALICE")]
        from_account_id: String,
        /// The account credited.
        #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$", example = "BOB")]
        to_account_id: String,
        /// How much: more than zero.
        #[schema(value_type = Amount)]
        amount: Amount,
        /// The accounts' currency, to be sure.
        #[schema(pattern = "^[A-Z][A-Z0-9]{2,11}$", example = "USD")]
        currency: Option<String>,
        /// The business date: from when on the money counts as moved. When it is recorded, if absent.
        #[schema(format = DateTime)]
        effective_at: Option<String>,
    }
}

/// Which movements a freeze forbids, or an unfreezing allows again: money that goes out, holds included; money that comes
/// in; or both.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum ScopeForm {
    Debits,
    Credits,
    All,
}

command! {
    /// Forbids debits, credits or both.
    FreezeAccount {
        /// The account.
        #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$", example = "ALICE")]
        account_id: String,
        /// What is forbidden, in addition to what is already; all, if absent.
        #[schema(inline)]
        scope: Option<ScopeForm>,
        /// Why; kept with the account.
        #[schema(max_length = 512, example = "a lost card")]
        reason: String,
    }
}

command! {
    /// Allows again what was forbidden.
    UnfreezeAccount {
        /// The account.
        #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$", example = "ALICE")]
        account_id: String,
        /// What is allowed again; all, if absent.
        #[schema(inline)]
        scope: Option<ScopeForm>,
        /// Why.
        #[schema(max_length = 512)]
        reason: Option<String>,
    }
}

command! {
    /// Ends an account, for ever.
    CloseAccount {
        /// The account.
        #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$", example = "ALICE")]
        account_id: String,
        /// Where what is left in it goes. Without it the balance must be zero.
        #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$", example = "BOB")]
        sweep_to_account_id: Option<String>,
    }
}

command! {
    /// Changes how far below zero the balance may fall.
    SetOverdraftLimit {
        /// The account.
        #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$", example = "ALICE")]
        account_id: String,
        /// The new limit: zero or more, and no less than what is used of it.
        #[schema(value_type = Amount)]
        overdraft_limit: Amount,
    }
}

command! {
    /// Changes what is known about an account. What is not given stays; one of the two must be given.
    UpdateAccount {
        /// The account.
        #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$", example = "ALICE")]
        account_id: String,
        /// Whose it is from now on.
        #[schema(max_length = 256, example = "Alice Miller")]
        owner_name: Option<String>,
        /// All of the account's own metadata from now on.
        account_metadata: Option<BTreeMap<String, String>>,
    }
}

command! {
    /// Changes what an account's movements must obey: all of its rules. Those that are absent are gone.
    SetAccountRules {
        /// The account.
        #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$", example = "ALICE")]
        account_id: String,
        /// What its balance, without what is held, may fall to.
        #[schema(value_type = Option<Amount>)]
        minimum_balance: Option<Amount>,
        /// What its balance may rise to.
        #[schema(value_type = Option<Amount>)]
        maximum_balance: Option<Amount>,
        /// How much may leave it, or be held on it, in one day of UTC: zero or more.
        #[schema(value_type = Option<Amount>)]
        daily_debit_amount_max: Option<Amount>,
        /// How often something may leave it, or be held on it, in one day of UTC.
        #[schema(minimum = 0, maximum = 4_294_967_295_u64, example = 5)]
        daily_debit_count_max: Option<u32>,
        /// The only accounts that it may send money to, or get money from, within the ledger. None at all, if it is empty.
        #[schema(max_items = 100, example = json!(["BOB"]))]
        allowed_counterparties: Option<Vec<String>>,
    }
}

command! {
    /// Reserves money for a later capture.
    PlaceHold {
        /// The account.
        #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$", example = "ALICE")]
        account_id: String,
        /// The hold's name, made by the caller, who uses the same one when it tries again; used once within an account.
        #[schema(format = Uuid, example = "6f1c2a3e-58b1-4c0e-9a53-0d8f6c1f7b11")]
        hold_id: String,
        /// How much: more than zero.
        #[schema(value_type = Amount)]
        amount: Amount,
        /// The account's currency, to be sure.
        #[schema(pattern = "^[A-Z][A-Z0-9]{2,11}$", example = "USD")]
        currency: Option<String>,
        /// When it ends by itself. Without it, it lasts until it is captured or released.
        #[schema(format = DateTime, example = "2126-01-31T12:00:00Z")]
        hold_expires_at: Option<String>,
    }
}

command! {
    /// Takes money that is held, to outside or to another account.
    Capture {
        /// The account that the money is held on.
        #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$", example = "ALICE")]
        account_id: String,
        /// The hold.
        #[schema(format = Uuid, example = "0f4f2a52-7c9e-4d7e-8a55-3f8b6a1c2d10")]
        hold_id: String,
        /// How much; all that is still held, if absent.
        #[schema(value_type = Option<Amount>)]
        amount: Option<Amount>,
        /// Whether it is the last capture: the rest of the hold is released with it. It is not, if absent.
        #[schema(rename = "final")]
        is_final: Option<bool>,
        /// The account credited; without it the money goes to outside.
        #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$", example = "BOB")]
        to_account_id: Option<String>,
        /// The business date: from when on the money counts as moved. When it is recorded, if absent.
        #[schema(format = DateTime)]
        effective_at: Option<String>,
    }
}

command! {
    /// Gives money that is held back to what is available.
    Release {
        /// The account that the money is held on.
        #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$", example = "ALICE")]
        account_id: String,
        /// The hold.
        #[schema(format = Uuid, example = "0f4f2a52-7c9e-4d7e-8a55-3f8b6a1c2d10")]
        hold_id: String,
        /// How much; all that is still held, if absent.
        #[schema(value_type = Option<Amount>)]
        amount: Option<Amount>,
    }
}

command! {
    /// Ends a hold whose time is over. The ledger sends it to itself.
    ExpireHold {
        /// The account that the money is held on.
        #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$", example = "ALICE")]
        account_id: String,
        /// The hold.
        #[schema(format = Uuid, example = "0f4f2a52-7c9e-4d7e-8a55-3f8b6a1c2d10")]
        hold_id: String,
    }
}

command! {
    /// Moves the money of an earlier command back: every movement of it in the other direction.
    Reverse {
        /// The account that the earlier command was sent to: the one debited, or the only one.
        #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$", example = "ALICE")]
        account_id: String,
        /// The earlier command, which moved money and was accepted; a reversal cannot be reversed.
        #[schema(format = Uuid, example = "8a1c6f0e-3b52-4b7e-9d5e-0c1f2a3b4c04")]
        reversed_command_id: String,
        /// How much; all that has not been moved back yet, if absent.
        #[schema(value_type = Option<Amount>)]
        amount: Option<Amount>,
        /// Why; kept with the events.
        #[schema(max_length = 512, example = "the dish was cold")]
        reason: String,
        /// The business date: from when on the money counts as moved back. When it is recorded, if absent.
        #[schema(format = DateTime)]
        effective_at: Option<String>,
    }
}

/// Whether the account has less (`debit`) or more (`credit`).
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum DirectionForm {
    Debit,
    Credit,
}

/// What one account has less or more.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[serde(deny_unknown_fields)]
pub(super) struct PostingEntry {
    /// The account.
    #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$", example = "ALICE")]
    account_id: String,
    #[schema(inline)]
    direction: DirectionForm,
    /// How much: more than zero.
    #[schema(value_type = Amount)]
    amount: Amount,
    /// The account's currency, to be sure.
    #[schema(pattern = "^[A-Z][A-Z0-9]{2,11}$", example = "USD")]
    currency: Option<String>,
}

command! {
    /// Moves money between any number of accounts at once.
    Post {
        /// What each account has less or more: debits and credits balance, in each currency.
        #[schema(min_items = 1, max_items = 1000)]
        entries: Vec<PostingEntry>,
        /// The business date: from when on the money counts as moved. When it is recorded, if absent.
        #[schema(format = DateTime)]
        effective_at: Option<String>,
    }
}

command! {
    /// Moves money from an account of one currency to an account of another, through two accounts that take the one and
    /// give the other. One of `rate` and `to_amount` must be given.
    Exchange {
        /// The account debited.
        #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$", example = "ALICE")]
        from_account_id: String,
        /// The account credited, in another currency.
        #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$", example = "ALICE-EUR")]
        to_account_id: String,
        /// Where the money goes: an account in the currency of the one debited.
        #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$", example = "DESK-USD")]
        from_clearing_account_id: String,
        /// Where the other money comes from: an account in the currency of the one credited.
        #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$", example = "DESK-EUR")]
        to_clearing_account_id: String,
        /// How much is debited: more than zero.
        #[schema(value_type = Amount)]
        amount: Amount,
        /// What one unit is worth: the amount times this is credited, rounded half to even to the decimals of the other
        /// currency.
        #[schema(value_type = Option<Rate>)]
        rate: Option<Rate>,
        /// How much is credited, instead of a rate: more than zero.
        #[schema(value_type = Option<Amount>)]
        to_amount: Option<Amount>,
        /// The business date: from when on the money counts as moved. When it is recorded, if absent.
        #[schema(format = DateTime)]
        effective_at: Option<String>,
    }
}

command! {
    /// Several commands of which all are done, or none.
    Batch {
        /// The commands, in their order. Each may have a description, metadata and conditions of its own.
        #[schema(min_items = 1, max_items = 1000)]
        commands: Vec<BatchedCommand>,
    }
}

/// A command of a batch: any but a batch, without `command_id` and `actor`, which are the batch's.
pub(super) struct BatchedCommand;

impl PartialSchema for BatchedCommand {
    fn schema() -> RefOr<Schema> {
        let mut any = OneOfBuilder::new().description(Some(
            "A command of a batch: any but a batch, without `command_id` and `actor`, which are the batch's",
        ));
        for (name, form) in single_forms() {
            let Schema::Object(mut form) = typed(name, form) else {
                unreachable!("a command is an object");
            };
            form.properties.remove("command_id");
            form.properties.remove("actor");
            any = any.item(Schema::Object(form));
        }
        any.into()
    }
}

impl ToSchema for BatchedCommand {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        // All that the forms refer to.
        CreateAccount::schemas(schemas);
        Post::schemas(schemas);
        Exchange::schemas(schemas);
    }
}

/// Any command: the fields of its type, and `type`.
pub(in crate::http) struct AnyCommand;

impl AnyCommand {
    /// The form of every type of command.
    fn forms() -> impl Iterator<Item = (&'static str, RefOr<Schema>)> {
        single_forms()
            .into_iter()
            .chain([("batch", Batch::schema())])
    }
}

/// The form of every type of command that can stand in a batch.
fn single_forms() -> [(&'static str, RefOr<Schema>); 17] {
    [
        ("create_account", CreateAccount::schema()),
        ("deposit", Movement::schema()),
        ("withdraw", Movement::schema()),
        ("transfer", Transfer::schema()),
        ("freeze_account", FreezeAccount::schema()),
        ("unfreeze_account", UnfreezeAccount::schema()),
        ("close_account", CloseAccount::schema()),
        ("set_overdraft_limit", SetOverdraftLimit::schema()),
        ("set_account_rules", SetAccountRules::schema()),
        ("update_account", UpdateAccount::schema()),
        ("hold", PlaceHold::schema()),
        ("capture", Capture::schema()),
        ("release", Release::schema()),
        ("expire_hold", ExpireHold::schema()),
        ("reverse", Reverse::schema()),
        ("post", Post::schema()),
        ("exchange", Exchange::schema()),
    ]
}

impl PartialSchema for AnyCommand {
    fn schema() -> RefOr<Schema> {
        Self::forms()
            .fold(OneOfBuilder::new(), |any, (name, form)| {
                any.item(typed(name, form))
            })
            .description(Some("The fields of the type, and `type`"))
            .into()
    }
}

impl ToSchema for AnyCommand {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        // All that the forms refer to.
        CreateAccount::schemas(schemas);
        Post::schemas(schemas);
        Exchange::schemas(schemas);
        Batch::schemas(schemas);
    }
}

/// The form with `type`, which says that it is this one.
fn typed(name: &str, form: RefOr<Schema>) -> Schema {
    let RefOr::T(Schema::Object(mut form)) = form else {
        unreachable!("a command is an object");
    };
    let kind = ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::String))
        .enum_values(Some([name]));
    form.properties.insert("type".to_owned(), kind.into());
    form.required.push("type".to_owned());
    form.title = Some(name.to_owned());
    Schema::Object(form)
}

/// What became of a command.
#[derive(ToSchema)]
pub(super) struct OutcomeDocument {
    /// The command.
    #[schema(format = Uuid)]
    command_id: String,
    status: Status,
    /// Its events, in order; none when it was refused.
    events: Vec<EventPlace>,
    /// Why it was refused.
    rejection: Option<RejectionDocument>,
}

#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
enum Status {
    Accepted,
    Rejected,
}

/// Why a command was refused.
#[derive(ToSchema)]
struct RejectionDocument {
    /// The stable word for programs.
    code: String,
    /// A sentence for people.
    message: String,
    /// The figures, as strings.
    data: Option<BTreeMap<String, String>>,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ledger::{Action, codec, limits};
    use serde_json::{Map, Value};

    use super::*;

    const ID: &str = "6f1c2a3e-58b1-4c0e-9a53-0d8f6c1f7b11";

    /// The values that a scope can have, by its form.
    fn scopes(form: &Value) -> Vec<Value> {
        let forms = form["oneOf"].as_array().unwrap();
        let values = forms.iter().find_map(|form| form["enum"].as_array());
        values.unwrap().clone()
    }

    /// A value that fits the form of a field.
    fn fitting(name: &str, form: &Value) -> Value {
        match name {
            "metadata" | "account_metadata" => json!({"invoice": "77"}),
            "expected_version" | "daily_debit_count_max" => json!(7),
            "allowed_counterparties" => json!(["BOB"]),
            "final" => json!(true),
            "scope" => scopes(form)[0].clone(),
            "not_before" | "expires_at" | "hold_expires_at" | "effective_at" => {
                json!("2026-01-31T12:00:00.000001Z")
            }
            "command_id" | "hold_id" | "reversed_command_id" => json!(ID),
            "amount"
            | "to_amount"
            | "if_balance_at_least"
            | "initial_balance"
            | "minimum_balance"
            | "maximum_balance"
            | "daily_debit_amount_max"
            | "overdraft_limit" => json!("25.00"),
            "rate" => json!("0.92"),
            "account_id"
            | "from_account_id"
            | "to_account_id"
            | "from_clearing_account_id"
            | "to_clearing_account_id"
            | "sweep_to_account_id" => json!("ALICE"),
            "currency" => json!("USD"),
            "entries" => json!([{"account_id": "ALICE", "direction": "debit", "amount": "25.00"}]),
            "commands" => json!([{"type": "deposit", "account_id": "ALICE", "amount": "25.00"}]),
            "type" => form["enum"][0].clone(),
            _ => json!("some words"),
        }
    }

    fn is_taken(document: &Map<String, Value>) -> Result<(), String> {
        let text = Value::Object(document.clone()).to_string();
        codec::decode_command(None, text.as_bytes())
            .map(drop)
            .map_err(|error| error.to_string())
    }

    /// Every form has exactly the fields that the decoder takes, and asks for exactly those that the decoder asks for.
    #[test]
    fn the_forms_are_the_decoders() {
        let any = serde_json::to_value(AnyCommand::schema()).unwrap();
        let forms = any["oneOf"].as_array().unwrap();
        let names: BTreeSet<&str> = forms
            .iter()
            .map(|form| form["title"].as_str().unwrap())
            .collect();
        assert_eq!(names, BTreeSet::from(Action::TYPE_NAMES));
        assert_eq!(forms.len(), Action::TYPE_NAMES.len());
        check_forms(forms, &is_taken);
    }

    /// The same for the commands of a batch, which have no id and no actor of their own.
    #[test]
    fn the_forms_of_a_batch_are_the_decoders() {
        let any = serde_json::to_value(BatchedCommand::schema()).unwrap();
        let forms = any["oneOf"].as_array().unwrap();
        assert_eq!(forms.len(), Action::TYPE_NAMES.len() - 1);
        check_forms(forms, &|document| {
            let batch = json!({"command_id": ID, "type": "batch", "commands": [document]});
            is_taken(batch.as_object().unwrap())
        });
        for name in ["command_id", "actor"] {
            let deposit =
                json!({"type": "deposit", "account_id": "ALICE", "amount": "1", name: ID});
            let batch = json!({"command_id": ID, "type": "batch", "commands": [deposit]});
            assert!(is_taken(batch.as_object().unwrap()).is_err(), "{name}");
        }
    }

    #[test]
    fn the_form_of_an_entry_is_the_decoders() {
        let form = serde_json::to_value(PostingEntry::schema()).unwrap();
        let directions = &form["properties"]["direction"]["enum"];
        assert_eq!(*directions, json!(["debit", "credit"]));
        for direction in directions.as_array().unwrap() {
            let entry = json!({"account_id": "ALICE", "direction": direction, "amount": "1", "currency": "USD"});
            let taken = |entry: &Value| {
                let post = json!({"command_id": ID, "type": "post", "entries": [entry]});
                is_taken(post.as_object().unwrap())
            };
            taken(&entry).unwrap();
            let names: Vec<&String> = form["properties"].as_object().unwrap().keys().collect();
            assert_eq!(names.len(), entry.as_object().unwrap().len());
            for name in names {
                let mut part = entry.clone();
                part.as_object_mut().unwrap().remove(name);
                let must = form["required"].as_array().unwrap().contains(&json!(name));
                assert_eq!(taken(&part).is_err(), must, "without {name}");
            }
        }
        for (name, form, field) in [
            (
                "entries",
                serde_json::to_value(Post::schema()).unwrap(),
                "entries",
            ),
            (
                "commands",
                serde_json::to_value(Batch::schema()).unwrap(),
                "commands",
            ),
        ] {
            let field = &form["properties"][field];
            assert_eq!(field["minItems"], 1, "{name}");
            assert_eq!(field["maxItems"], 1000, "{name}");
        }
        assert_eq!(
            (limits::POST_ENTRIES_MAX, limits::BATCH_COMMANDS_MAX),
            (1000, 1000)
        );
    }

    fn check_forms(forms: &[Value], is_taken: &dyn Fn(&Map<String, Value>) -> Result<(), String>) {
        let mut known: Vec<&String> = forms
            .iter()
            .flat_map(|form| form["properties"].as_object().unwrap().keys())
            .collect();
        known.sort_unstable();
        known.dedup();
        for form in forms {
            let title = &form["title"];
            assert_eq!(form["additionalProperties"], false, "{title}");
            let required: Vec<&str> = form["required"]
                .as_array()
                .unwrap()
                .iter()
                .filter_map(Value::as_str)
                .collect();
            let mut properties = form["properties"].as_object().unwrap().clone();
            if title == "exchange" {
                // It is the one or the other: see `an_exchange_has_one_price`.
                properties.remove("to_amount");
            }
            let whole: Map<String, Value> = properties
                .iter()
                .map(|(name, form)| (name.clone(), fitting(name, form)))
                .collect();
            is_taken(&whole).unwrap_or_else(|error| panic!("{title}: {error}"));
            for name in properties.keys() {
                let mut part = whole.clone();
                part.remove(name);
                // Without it, the server puts a command_id of its own there.
                let must = required.contains(&name.as_str())
                    || name == "command_id"
                    || (title == "exchange" && name == "rate");
                assert_eq!(is_taken(&part).is_err(), must, "{title} without {name}");
            }
            for name in known.iter().filter(|name| !properties.contains_key(**name)) {
                let mut more = whole.clone();
                more.insert(
                    (*name).clone(),
                    fitting(name, &json!({"oneOf": [{"enum": ["all"]}]})),
                );
                assert!(
                    is_taken(&more).is_err(),
                    "{title} takes {name}, and its form does not say so"
                );
            }
            for value in properties.get("scope").into_iter().flat_map(scopes) {
                let mut other = whole.clone();
                other.insert("scope".to_owned(), value);
                is_taken(&other).unwrap_or_else(|error| panic!("{title}: {error}"));
            }
        }
    }

    #[test]
    fn an_exchange_has_one_price() {
        let form = serde_json::to_value(Exchange::schema()).unwrap();
        let mut whole: Map<String, Value> = form["properties"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, form)| (name.clone(), fitting(name, form)))
            .collect();
        whole.insert("type".to_owned(), json!("exchange"));
        assert!(is_taken(&whole).is_err());
        for name in ["rate", "to_amount"] {
            let mut one = whole.clone();
            one.remove(name);
            is_taken(&one).unwrap_or_else(|error| panic!("without {name}: {error}"));
        }
    }

    #[test]
    fn an_update_changes_something() {
        let mut document =
            json!({"command_id": ID, "type": "update_account", "account_id": "ALICE"});
        let document = document.as_object_mut().unwrap();
        assert!(is_taken(document).is_err());
        document.insert("account_metadata".to_owned(), json!({}));
        is_taken(document).unwrap();
    }
}
