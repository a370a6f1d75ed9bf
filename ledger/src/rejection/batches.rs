//! Refusals of batches, postings and exchanges: which part of it was refused, and why.

use super::{Rejection, RejectionCode};
use crate::command::limits;
use crate::ids::AccountId;
use crate::money::Currency;
use crate::sum::Sum;

impl Rejection {
    /// The same, of a command of a batch: the batch is refused with the code of the first command that is.
    pub(crate) fn of_part(mut self, index: u32, type_name: &str) -> Self {
        self.message = format!("commands[{index}] ({type_name}): {}", self.message);
        self.data.insert("command".to_owned(), index.to_string());
        self
    }

    /// The same, of an entry of a posting.
    pub(crate) fn of_entry(mut self, index: usize) -> Self {
        self.message = format!("entries[{index}]: {}", self.message);
        self.data.insert("entry".to_owned(), index.to_string());
        self
    }

    /// The entries of a posting do not balance.
    pub(crate) fn unbalanced(debits: Sum, credits: Sum) -> Self {
        let currency = debits.currency();
        Self::new(
            RejectionCode::Unbalanced,
            format!(
                "the entries do not balance: {debits} {currency} are debited and {credits} {currency} credited"
            ),
            [
                ("debits", &debits),
                ("credits", &credits),
                ("currency", &currency),
            ],
        )
    }

    /// Money is to be exchanged between two accounts of one currency.
    pub(crate) fn same_currency(account_id: &AccountId, currency: Currency) -> Self {
        Self::new(
            RejectionCode::SameCurrency,
            format!(
                "both sides of the exchange are kept in {currency}; money of one currency goes by transfer"
            ),
            [("account_id", account_id), ("currency", &currency)],
        )
    }

    /// What the command would write is too much for one transaction.
    pub(crate) fn too_much_written() -> Self {
        let bytes_max = limits::WRITTEN_BYTES_MAX;
        Self::new(
            RejectionCode::TooMuchWritten,
            format!(
                "the command would write more than {bytes_max} bytes, for its texts stand in every event; send several \
                 commands, or shorter texts"
            ),
            [("bytes_max", &bytes_max)],
        )
    }
}
