//! The commands of `chronicle send`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use ledger::{AccountId, CommandId, HoldId, Timestamp};

/// One command.
#[derive(Debug, Subcommand)]
pub(crate) enum SendCommand {
    /// Open an account
    CreateAccount {
        /// The new account
        account_id: AccountId,
        /// Whose it is
        #[arg(long)]
        owner_name: String,
        /// Its currency, e.g. USD
        #[arg(long)]
        currency: String,
        /// What is in it from the start
        #[arg(long, default_value = "0")]
        initial_balance: String,
        /// How far below zero the balance may fall
        #[arg(long, default_value = "0")]
        overdraft_limit: String,
        #[command(flatten)]
        envelope: Envelope,
    },
    /// Put money into an account
    Deposit {
        /// The account
        account_id: AccountId,
        /// How much, e.g. 25.00
        #[arg(allow_negative_numbers = true)]
        amount: String,
        /// The account's currency, to be sure
        #[arg(long)]
        currency: Option<String>,
        /// The business date: from when on the money counts as moved; when it is recorded, if it is not given
        #[arg(long, value_name = "TIMESTAMP")]
        effective_at: Option<Timestamp>,
        #[command(flatten)]
        envelope: Envelope,
    },
    /// Take money out of an account
    Withdraw {
        /// The account
        account_id: AccountId,
        /// How much, e.g. 25.00
        #[arg(allow_negative_numbers = true)]
        amount: String,
        /// The account's currency, to be sure
        #[arg(long)]
        currency: Option<String>,
        /// The business date: from when on the money counts as moved; when it is recorded, if it is not given
        #[arg(long, value_name = "TIMESTAMP")]
        effective_at: Option<Timestamp>,
        #[command(flatten)]
        envelope: Envelope,
    },
    /// Move money from one account to another
    Transfer {
        /// The account debited
        from_account_id: AccountId,
        /// The account credited
        to_account_id: AccountId,
        /// How much, e.g. 25.00
        #[arg(allow_negative_numbers = true)]
        amount: String,
        /// The accounts' currency, to be sure
        #[arg(long)]
        currency: Option<String>,
        /// The business date: from when on the money counts as moved; when it is recorded, if it is not given
        #[arg(long, value_name = "TIMESTAMP")]
        effective_at: Option<Timestamp>,
        #[command(flatten)]
        envelope: Envelope,
    },
    /// Forbid debits, credits or both, until they are allowed again
    FreezeAccount {
        /// The account
        account_id: AccountId,
        /// Why; kept with the account
        #[arg(long)]
        reason: String,
        /// What is forbidden, in addition to what is already
        #[arg(long, value_enum, default_value_t = Scope::All)]
        scope: Scope,
        #[command(flatten)]
        envelope: Envelope,
    },
    /// Allow again what was forbidden
    UnfreezeAccount {
        /// The account
        account_id: AccountId,
        /// Why
        #[arg(long)]
        reason: Option<String>,
        /// What is allowed again
        #[arg(long, value_enum, default_value_t = Scope::All)]
        scope: Scope,
        #[command(flatten)]
        envelope: Envelope,
    },
    /// End an account, for ever; its history stays
    CloseAccount {
        /// The account
        account_id: AccountId,
        /// Where what is left in it goes; without it, the balance must be zero
        #[arg(long, value_name = "ACCOUNT_ID")]
        sweep_to_account_id: Option<AccountId>,
        #[command(flatten)]
        envelope: Envelope,
    },
    /// Change how far below zero the balance may fall
    SetOverdraftLimit {
        /// The account
        account_id: AccountId,
        /// The new limit, e.g. 100.00; 0 for none
        #[arg(allow_negative_numbers = true)]
        overdraft_limit: String,
        #[command(flatten)]
        envelope: Envelope,
    },
    /// Change what is known about an account; what is not given stays
    UpdateAccount {
        /// The account
        account_id: AccountId,
        /// Whose it is from now on
        #[arg(long)]
        owner_name: Option<String>,
        /// The account's own metadata from now on, all of it, as key=value; may be repeated
        #[arg(long, value_name = "KEY=VALUE")]
        account_metadata: Vec<String>,
        /// The account has no metadata of its own from now on
        #[arg(long, conflicts_with = "account_metadata")]
        no_account_metadata: bool,
        #[command(flatten)]
        envelope: Envelope,
    },
    /// Change what an account's movements must obey: all of its rules, so that those not given are gone
    SetAccountRules {
        /// The account
        account_id: AccountId,
        /// What its balance, without what is held, may fall to, e.g. 10.00
        #[arg(long, value_name = "AMOUNT", allow_negative_numbers = true)]
        minimum_balance: Option<String>,
        /// What its balance may rise to, e.g. 1000.00
        #[arg(long, value_name = "AMOUNT", allow_negative_numbers = true)]
        maximum_balance: Option<String>,
        /// How much may leave it, or be held on it, in one day of UTC, e.g. 500.00
        #[arg(long, value_name = "AMOUNT", allow_negative_numbers = true)]
        daily_debit_amount_max: Option<String>,
        /// How often something may leave it, or be held on it, in one day of UTC
        #[arg(long, value_name = "N")]
        daily_debit_count_max: Option<u32>,
        /// An account that it may send money to and get money from, and no other but those named; may be repeated
        #[arg(long = "allowed-counterparty", value_name = "ACCOUNT_ID")]
        allowed_counterparties: Vec<AccountId>,
        /// It may send no money to other accounts and get none from them
        #[arg(long, conflicts_with = "allowed_counterparties")]
        no_counterparties: bool,
        /// Take all rules away
        #[arg(
            long,
            conflicts_with_all = ["minimum_balance", "maximum_balance", "daily_debit_amount_max",
                "daily_debit_count_max", "allowed_counterparties", "no_counterparties"],
            required_unless_present_any = ["minimum_balance", "maximum_balance", "daily_debit_amount_max",
                "daily_debit_count_max", "allowed_counterparties", "no_counterparties"]
        )]
        none: bool,
        #[command(flatten)]
        envelope: Envelope,
    },
    /// Reserve money for a later capture
    Hold {
        /// The account
        account_id: AccountId,
        /// How much, e.g. 25.00
        #[arg(allow_negative_numbers = true)]
        amount: String,
        /// The hold's name, a UUID that is used once within an account; the command's id if it is not given
        #[arg(long)]
        hold_id: Option<HoldId>,
        /// When it ends by itself: RFC 3339; without it, it lasts until it is captured or released
        #[arg(long, value_name = "TIMESTAMP")]
        hold_expires_at: Option<Timestamp>,
        /// The account's currency, to be sure
        #[arg(long)]
        currency: Option<String>,
        #[command(flatten)]
        envelope: Envelope,
    },
    /// Take money that is held
    Capture {
        /// The account that the money is held on
        account_id: AccountId,
        /// The hold
        hold_id: HoldId,
        /// How much, e.g. 25.00; all that is still held, if it is not given
        #[arg(allow_negative_numbers = true)]
        amount: Option<String>,
        /// The last capture: the rest of the hold is released with it
        #[arg(long = "final")]
        is_final: bool,
        /// The account credited; without it the money goes to outside
        #[arg(long, value_name = "ACCOUNT_ID")]
        to_account_id: Option<AccountId>,
        /// The business date: from when on the money counts as moved; when it is recorded, if it is not given
        #[arg(long, value_name = "TIMESTAMP")]
        effective_at: Option<Timestamp>,
        #[command(flatten)]
        envelope: Envelope,
    },
    /// Give money that is held back to what is available
    Release {
        /// The account that the money is held on
        account_id: AccountId,
        /// The hold
        hold_id: HoldId,
        /// How much, e.g. 25.00; all that is still held, if it is not given
        #[arg(allow_negative_numbers = true)]
        amount: Option<String>,
        #[command(flatten)]
        envelope: Envelope,
    },
    /// Move the money of an earlier command back, all of it or a part
    Reverse {
        /// The account that the earlier command was sent to: the one debited, or the only one
        account_id: AccountId,
        /// The earlier command
        #[arg(value_name = "COMMAND_ID")]
        reversed_command_id: CommandId,
        /// How much, e.g. 25.00; all that has not been moved back yet, if it is not given
        #[arg(allow_negative_numbers = true)]
        amount: Option<String>,
        /// Why; kept with the events
        #[arg(long)]
        reason: String,
        /// The business date: from when on the money counts as moved; when it is recorded, if it is not given
        #[arg(long, value_name = "TIMESTAMP")]
        effective_at: Option<Timestamp>,
        #[command(flatten)]
        envelope: Envelope,
    },
    /// Move money between any number of accounts at once: debits and credits that balance, in each currency
    Post {
        /// What an account has less (debit) or more (credit), e.g. ALICE:debit:25.00 or ALICE:debit:25.00:USD; repeated, in
        /// their order
        #[arg(
            long = "entry",
            value_name = "ACCOUNT:DIRECTION:AMOUNT[:CURRENCY]",
            required = true
        )]
        entries: Vec<String>,
        /// The business date: from when on the money counts as moved; when it is recorded, if it is not given
        #[arg(long, value_name = "TIMESTAMP")]
        effective_at: Option<Timestamp>,
        #[command(flatten)]
        envelope: Envelope,
    },
    /// Move money from an account of one currency to an account of another, through two accounts that take the one and
    /// give the other
    Exchange {
        /// The account debited
        from_account_id: AccountId,
        /// The account credited, in another currency
        to_account_id: AccountId,
        /// How much is debited, e.g. 25.00
        #[arg(allow_negative_numbers = true)]
        amount: String,
        /// What one unit is worth, e.g. 0.92: the amount times this is credited, rounded half to even
        #[arg(
            long,
            required_unless_present = "to_amount",
            conflicts_with = "to_amount",
            allow_negative_numbers = true
        )]
        rate: Option<String>,
        /// How much is credited, instead of a rate
        #[arg(long, value_name = "AMOUNT", allow_negative_numbers = true)]
        to_amount: Option<String>,
        /// Where the money goes: an account in the currency of the one debited
        #[arg(long, value_name = "ACCOUNT_ID")]
        from_clearing_account_id: AccountId,
        /// Where the other money comes from: an account in the currency of the one credited
        #[arg(long, value_name = "ACCOUNT_ID")]
        to_clearing_account_id: AccountId,
        /// The business date: from when on the money counts as moved; when it is recorded, if it is not given
        #[arg(long, value_name = "TIMESTAMP")]
        effective_at: Option<Timestamp>,
        #[command(flatten)]
        envelope: Envelope,
    },
    /// Send up to 1,000 commands of which all are done, or none
    Batch {
        /// The commands, one JSON object a line, without command_id and actor; `-` is standard input
        file: PathBuf,
        #[command(flatten)]
        envelope: Envelope,
    },
}

/// Which movements a freeze forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scope {
    /// Money that goes out, holds included
    Debits,
    /// Money that comes in
    Credits,
    /// Both
    All,
}

impl Scope {
    /// As on the wire.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Debits => "debits",
            Self::Credits => "credits",
            Self::All => "all",
        }
    }
}

/// What every command can have.
#[derive(Debug, Clone, Args)]
pub(crate) struct Envelope {
    /// The command's id; made up if it is not given. The same id again is the same command again
    #[arg(long)]
    pub(crate) command_id: Option<CommandId>,
    /// Why
    #[arg(long)]
    pub(crate) description: Option<String>,
    /// Who asks
    #[arg(long)]
    pub(crate) actor: Option<String>,
    /// Something to find again, as key=value; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) metadata: Vec<String>,
    /// Refuse it unless the account (the one debited, or the only one) has this version
    #[arg(long, value_name = "N", help_heading = "Conditions")]
    pub(crate) expected_version: Option<u64>,
    /// Refuse it unless the account's balance is this or more
    #[arg(
        long,
        value_name = "AMOUNT",
        allow_negative_numbers = true,
        help_heading = "Conditions"
    )]
    pub(crate) if_balance_at_least: Option<String>,
    /// Refuse it if it is decided before this instant: RFC 3339; the ledger keeps none back
    #[arg(long, value_name = "TIMESTAMP", help_heading = "Conditions")]
    pub(crate) not_before: Option<Timestamp>,
    /// Refuse it if it is decided at or after this instant: RFC 3339
    #[arg(long, value_name = "TIMESTAMP", help_heading = "Conditions")]
    pub(crate) expires_at: Option<Timestamp>,
}
