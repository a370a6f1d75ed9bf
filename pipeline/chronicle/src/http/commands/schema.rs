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
            .pattern(Some("^-?[0-9]{1,20}(\\.[0-9]{1,4})?$"))
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
            /// The version that the account must have.
            #[schema(minimum = 0, maximum = 9_007_199_254_740_991_u64)]
            expected_version: Option<u64>,
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
    }
}

/// Any command: the fields of its type, and `type`.
pub(super) struct AnyCommand;

impl PartialSchema for AnyCommand {
    fn schema() -> RefOr<Schema> {
        OneOfBuilder::new()
            .item(typed("create_account", CreateAccount::schema()))
            .item(typed("deposit", Movement::schema()))
            .item(typed("withdraw", Movement::schema()))
            .item(typed("transfer", Transfer::schema()))
            .description(Some("The fields of the type, and `type`"))
            .into()
    }
}

impl ToSchema for AnyCommand {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        CreateAccount::schemas(schemas);
        Movement::schemas(schemas);
        Transfer::schemas(schemas);
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
