//! One route for each type of command: the path says the type, and the body need not.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Answers, schema, submit};
use crate::http::Api;
use crate::http::access::Caller;
use crate::http::extract::InBody;
use crate::http::problem::Problem;

/// The routes. `expire_hold` has none: the ledger sends it to itself.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(create_account))
        .routes(routes!(deposit))
        .routes(routes!(withdraw))
        .routes(routes!(transfer))
        .routes(routes!(freeze_account))
        .routes(routes!(unfreeze_account))
        .routes(routes!(close_account))
        .routes(routes!(set_overdraft_limit))
        .routes(routes!(set_account_rules))
        .routes(routes!(update_account))
        .routes(routes!(hold))
        .routes(routes!(capture))
        .routes(routes!(release))
        .routes(routes!(reverse))
        .routes(routes!(post))
        .routes(routes!(batch))
        .routes(routes!(exchange))
}

/// Makes the handler of a type of command, and its description.
macro_rules! command_route {
    ($(#[$about:meta])* $name:ident, $path:tt, $form:ident) => {
        $(#[$about])*
        #[utoipa::path(
            post, path = $path, tag = "commands",
            params(schema::CommandHeaders),
            request_body = schema::$form,
            responses(Answers)
        )]
        async fn $name(
            State(api): State<Api>,
            caller: Caller,
            headers: HeaderMap,
            InBody(body): InBody,
        ) -> Result<Response, Problem> {
            submit(&api, &caller, &headers, &body, Some(stringify!($name))).await
        }
    };
}

command_route! {
    /// Open an account
    create_account, "/commands/create-account", CreateAccount
}
command_route! {
    /// Put money into an account
    deposit, "/commands/deposit", Movement
}
command_route! {
    /// Take money out of an account
    withdraw, "/commands/withdraw", Movement
}
command_route! {
    /// Move money from one account to another
    transfer, "/commands/transfer", Transfer
}
command_route! {
    /// Forbid debits, credits or both
    freeze_account, "/commands/freeze-account", FreezeAccount
}
command_route! {
    /// Allow again what was forbidden
    unfreeze_account, "/commands/unfreeze-account", UnfreezeAccount
}
command_route! {
    /// End an account, for ever
    ///
    /// Its history stays. What is left in it must be zero, or is swept to another account.
    close_account, "/commands/close-account", CloseAccount
}
command_route! {
    /// Change how far below zero the balance may fall
    set_overdraft_limit, "/commands/set-overdraft-limit", SetOverdraftLimit
}
command_route! {
    /// Change what is known about an account
    ///
    /// What is not given stays; one of `owner_name` and `account_metadata` must be given.
    update_account, "/commands/update-account", UpdateAccount
}
command_route! {
    /// Change what an account's movements must obey
    ///
    /// All of its rules: those that are not given are gone, and without any the account has none.
    set_account_rules, "/commands/set-account-rules", SetAccountRules
}
command_route! {
    /// Reserve money for a later capture
    ///
    /// What is held stays in the balance, and is not available.
    hold, "/commands/hold", PlaceHold
}
command_route! {
    /// Take money that is held
    capture, "/commands/capture", Capture
}
command_route! {
    /// Give money that is held back
    release, "/commands/release", Release
}
command_route! {
    /// Move the money of an earlier command back
    ///
    /// All of it, or a part: a refund, or a mistake that is mended.
    reverse, "/commands/reverse", Reverse
}
command_route! {
    /// Move money between any number of accounts at once
    ///
    /// Debits and credits must balance, in each currency. They are looked at in their order: an account must have what
    /// leaves it when its turn comes.
    post, "/commands/post", Post
}
command_route! {
    /// Send several commands of which all are done, or none
    ///
    /// Each sees what those before it have done. When one is refused, none is done: the answer has the code of the first
    /// that is, and `data.command` says which one it is.
    batch, "/commands/batch", Batch
}
command_route! {
    /// Move money from an account of one currency to an account of another
    ///
    /// Through two accounts, of which one takes the money and the other gives what it is worth. One of `rate` and
    /// `to_amount` must be given.
    exchange, "/commands/exchange", Exchange
}
