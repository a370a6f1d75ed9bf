//! Currencies that ISO 4217 does not have: assets, points, coins. Whoever runs the ledger declares them.
//!
//! A declaration holds for the whole process: a currency's number of decimals is a fact like those of the standard, and
//! whatever reads or writes an amount needs it. Every event has its amounts with all of the currency's decimals, so a
//! currency that is declared otherwise than when the event was written is noticed at once.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::OnceLock;

use crate::excerpt::excerpt;
use crate::money::{CurrencyCode, InvalidCurrency};

static DECLARED: OnceLock<BTreeMap<CurrencyCode, u32>> = OnceLock::new();

/// A currency that ISO 4217 does not have, and how many decimals its amounts have. Written `BTC:8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Declaration {
    code: CurrencyCode,
    exponent: u32,
}

impl Declaration {
    /// The most decimals that a declared currency can have.
    pub const EXPONENT_MAX: u32 = 12;
}

/// Why currencies cannot be declared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDeclaration {
    /// Not `CODE:DECIMALS`.
    #[error(
        "a currency is declared by its code and its number of decimals, from 0 to {max}, such as BTC:8, and this is not: {text:?}",
        max = Declaration::EXPONENT_MAX
    )]
    Form {
        /// The text, cut if it is long.
        text: String,
    },
    /// No currency code.
    #[error(transparent)]
    Code(#[from] InvalidCurrency),
    /// ISO 4217 says how many decimals it has.
    #[error(
        "{code} is a currency of ISO 4217, which has it with {exponent} decimals; choose another code"
    )]
    Standard {
        /// The code.
        code: CurrencyCode,
        /// Its decimals.
        exponent: u32,
    },
    /// Two declarations of one code.
    #[error(
        "{code} is declared with {first} decimals and with {second}; a currency has one number of decimals, for ever"
    )]
    Twice {
        /// The code.
        code: CurrencyCode,
        /// The one.
        first: u32,
        /// The other.
        second: u32,
    },
    /// Something has been declared, or looked up, before.
    #[error("currencies are declared once, before anything else is done")]
    TooLate,
}

impl FromStr for Declaration {
    type Err = InvalidDeclaration;

    fn from_str(text: &str) -> Result<Self, InvalidDeclaration> {
        let form = || InvalidDeclaration::Form {
            text: excerpt(text),
        };
        let (code, exponent) = text.split_once(':').ok_or_else(form)?;
        let is_number = !exponent.is_empty() && exponent.bytes().all(|byte| byte.is_ascii_digit());
        let exponent: u32 = exponent.parse().map_err(|_| form())?;
        if !is_number || exponent > Self::EXPONENT_MAX {
            return Err(form());
        }
        let code = code.parse()?;
        if let Some(exponent) = standard_exponent(code) {
            return Err(InvalidDeclaration::Standard { code, exponent });
        }
        Ok(Self { code, exponent })
    }
}

/// Declares all of them for this process. The same again changes nothing.
pub fn declare(
    declarations: impl IntoIterator<Item = Declaration>,
) -> Result<(), InvalidDeclaration> {
    let mut declared = BTreeMap::new();
    for Declaration { code, exponent } in declarations {
        if let Some(first) = declared.insert(code, exponent)
            && first != exponent
        {
            return Err(InvalidDeclaration::Twice {
                code,
                first,
                second: exponent,
            });
        }
    }
    if *DECLARED.get_or_init(|| declared.clone()) == declared {
        Ok(())
    } else {
        Err(InvalidDeclaration::TooLate)
    }
}

/// How many decimals a currency has: by the standard, or as it was declared.
pub(crate) fn exponent(code: CurrencyCode) -> Option<u32> {
    standard_exponent(code).or_else(|| DECLARED.get()?.get(&code).copied())
}

fn standard_exponent(code: CurrencyCode) -> Option<u32> {
    iso_currency::Currency::from_code(code.as_str())
        .and_then(iso_currency::Currency::exponent)
        .map(u32::from)
}
