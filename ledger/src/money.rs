//! Money: exact decimals with a currency. No float anywhere, nothing rounds, and overflow is an error. The one thing
//! that panics is arithmetic between two currencies: whoever adds compares them first.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::declared;
use crate::excerpt::excerpt;

/// Why a text is no currency code, or a code no currency.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCurrency {
    /// Not three to twelve of `A–Z 0–9`, beginning with a letter.
    #[error(
        "a currency code is 3 to 12 characters of A-Z 0-9 such as USD, and this is not: {text:?}"
    )]
    Code {
        /// The text, cut if it is long.
        text: String,
    },
    /// A code that ISO 4217 does not have, or has without decimals (XAU, XXX …), and that is not declared either.
    #[error(
        "{code} is no currency here: ISO 4217 does not have it with a number of decimals, and it is not declared; use a \
         code such as USD, or declare it where the ledger is run (--declare-currency {code}:2)"
    )]
    Unknown {
        /// The code.
        code: CurrencyCode,
    },
}

/// The code of a currency, well-formed but not yet known to exist.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CurrencyCode {
    bytes: [u8; Self::LENGTH_MAX],
    length: u8,
}

impl CurrencyCode {
    const LENGTH_MAX: usize = 12;

    /// The code as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.length)])
            .expect("a currency code is ASCII by construction")
    }
}

impl FromStr for CurrencyCode {
    type Err = InvalidCurrency;

    fn from_str(text: &str) -> Result<Self, InvalidCurrency> {
        let well_formed = (3..=Self::LENGTH_MAX).contains(&text.len())
            && text.as_bytes()[0].is_ascii_uppercase()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
        if !well_formed {
            return Err(InvalidCurrency::Code {
                text: excerpt(text),
            });
        }
        let mut bytes = [0; Self::LENGTH_MAX];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        let length = u8::try_from(text.len()).expect("the length was checked above");
        Ok(Self { bytes, length })
    }
}

impl fmt::Display for CurrencyCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl fmt::Debug for CurrencyCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl Serialize for CurrencyCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for CurrencyCode {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A currency that the ledger can keep accounts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency {
    code: CurrencyCode,
    exponent: u32,
}

impl Currency {
    /// The currency with this code. Its exponent is that of ISO 4217 (USD 2, JPY 0, BHD 3, CLF 4); what the standard does
    /// not have must have been [declared](crate::declare).
    pub fn lookup(code: CurrencyCode) -> Result<Self, InvalidCurrency> {
        let exponent = declared::exponent(code).ok_or(InvalidCurrency::Unknown { code })?;
        Ok(Self { code, exponent })
    }

    /// The currency's code.
    pub fn code(self) -> CurrencyCode {
        self.code
    }

    /// How many decimals an amount has.
    pub fn exponent(self) -> u32 {
        self.exponent
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.code.fmt(formatter)
    }
}

/// Why a number is no amount of a currency.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAmount {
    /// Not a decimal number.
    #[error("an amount is a decimal number such as \"25.00\", and this is not: {text:?}")]
    NotDecimal {
        /// The text, cut if it is long.
        text: String,
    },
    /// More digits than the ledger keeps.
    #[error("an amount has at most {max} digits and {scale} decimals, and this has more: {text:?}", max = Money::DIGITS_MAX, scale = Decimal::MAX_SCALE)]
    TooManyDigits {
        /// The text, cut if it is long.
        text: String,
    },
    /// More decimals than the currency has.
    #[error("{currency} has {exponent} decimals, and {amount} has {scale}; round it before sending", exponent = currency.exponent(), scale = amount.scale())]
    TooManyDecimals {
        /// The amount as it was given.
        amount: Decimal,
        /// The currency.
        currency: Currency,
    },
    /// The result would have more digits than the ledger keeps.
    #[error("more than {max} digits, the currency's decimals included; the ledger keeps no more", max = Money::DIGITS_MAX)]
    Overflow,
}

/// Reads a decimal number exactly: an optional minus, digits, and optionally a point and more digits. A JSON number may
/// also have an exponent (`1e2`), which is expanded exactly; texts such as `+1`, `1_000`, ` 1` or `NaN` are refused.
pub fn parse_decimal(text: &str) -> Result<Decimal, InvalidAmount> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (digits, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let all_digits =
        |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let exponent_digits = exponent.map(|part| part.strip_prefix(['+', '-']).unwrap_or(part));
    if !all_digits(whole)
        || !fraction.is_none_or(all_digits)
        || !exponent_digits.is_none_or(all_digits)
    {
        return Err(InvalidAmount::NotDecimal {
            text: excerpt(text),
        });
    }
    let parsed = if exponent.is_some() {
        expand_exponent(text)
    } else {
        Decimal::from_str_exact(text).ok()
    };
    parsed
        .filter(|value| value.mantissa().unsigned_abs() <= Money::MANTISSA_MAX)
        .ok_or_else(|| InvalidAmount::TooManyDigits {
            text: excerpt(text),
        })
}

/// `1.5e3` as `1500`: moves the point, so that nothing can be rounded.
fn expand_exponent(text: &str) -> Option<Decimal> {
    let (mantissa, exponent) = text.split_once(['e', 'E'])?;
    let mantissa = Decimal::from_str_exact(mantissa).ok()?;
    let exponent: i64 = exponent.parse().ok()?;
    let scale = i64::from(mantissa.scale()) - exponent;
    if scale >= 0 {
        return Decimal::try_from_i128_with_scale(mantissa.mantissa(), u32::try_from(scale).ok()?)
            .ok();
    }
    let factor = 10_i128.checked_pow(u32::try_from(-scale).ok()?)?;
    Decimal::try_from_i128_with_scale(mantissa.mantissa().checked_mul(factor)?, 0).ok()
}

/// A number that is written with `scale` decimals, with `decimals` of them. `None` when 128 bits do not hold it.
fn rescaled_half_even(mantissa: i128, scale: u32, decimals: u32) -> Option<i128> {
    let Some(surplus) = scale.checked_sub(decimals) else {
        return mantissa.checked_mul(10_i128.checked_pow(decimals - scale)?);
    };
    let Some(divisor) = 10_i128.checked_pow(surplus) else {
        // 128 bits hold less than half of it.
        return Some(0);
    };
    let (quotient, rest) = (mantissa / divisor, mantissa % divisor);
    // The rest is less than the divisor, which is less than half of what 128 bits hold.
    let away = match (2 * rest.unsigned_abs()).cmp(&divisor.unsigned_abs()) {
        Ordering::Less => false,
        Ordering::Equal => quotient % 2 != 0,
        Ordering::Greater => true,
    };
    Some(quotient + if away { mantissa.signum() } else { 0 })
}

/// An exact amount of one currency, with exactly the currency's decimals. Signed: balances can be below zero.
///
/// ```
/// use ledger::{Currency, Money, parse_decimal};
/// let usd = Currency::lookup("USD".parse()?)?;
/// let rent = Money::new(parse_decimal("25")?, usd)?;
/// assert_eq!(rent.to_string(), "25.00");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    value: Decimal,
    currency: Currency,
}

impl Money {
    /// How many digits an amount can have in all. One less than what can be read back from a database's NUMERIC
    /// (28), so that what was written can always be read.
    pub const DIGITS_MAX: u32 = 27;
    const MANTISSA_MAX: u128 = 10_u128.pow(Self::DIGITS_MAX) - 1;

    /// `value` of `currency`, given the currency's number of decimals. Refuses more decimals even when they are zeros:
    /// whoever writes `25.000` USD means something that dollars do not have.
    pub fn new(value: Decimal, currency: Currency) -> Result<Self, InvalidAmount> {
        if value.scale() > currency.exponent {
            return Err(InvalidAmount::TooManyDecimals {
                amount: value,
                currency,
            });
        }
        Self::rescaled(value, currency)
    }

    /// `value` of `currency` as a database returned it: trailing zeros may be missing or too many, digits may not.
    pub fn from_database(value: Decimal, currency: Currency) -> Result<Self, InvalidAmount> {
        Self::new(value.normalize(), currency)
    }

    /// What an amount is worth in another currency at `rate`: their product, rounded half to even (IEEE 754 §4.3.1) to
    /// that currency's decimals. Nothing else is rounded: a product of more digits than 128 bits hold is an overflow.
    pub fn converted(self, rate: Decimal, currency: Currency) -> Result<Self, InvalidAmount> {
        let product = self.value.mantissa().checked_mul(rate.mantissa());
        let scale = self.value.scale() + rate.scale();
        let mantissa = product
            .and_then(|product| rescaled_half_even(product, scale, currency.exponent))
            .filter(|mantissa| mantissa.unsigned_abs() <= Self::MANTISSA_MAX)
            .ok_or(InvalidAmount::Overflow)?;
        let value = Decimal::try_from_i128_with_scale(mantissa, currency.exponent)
            .map_err(|_| InvalidAmount::Overflow)?;
        Ok(Self { value, currency })
    }

    /// Nothing of `currency`.
    pub fn zero(currency: Currency) -> Self {
        Self {
            value: Decimal::new(0, currency.exponent),
            currency,
        }
    }

    fn rescaled(value: Decimal, currency: Currency) -> Result<Self, InvalidAmount> {
        let missing = currency.exponent - value.scale();
        let mantissa = 10_i128
            .checked_pow(missing)
            .and_then(|factor| value.mantissa().checked_mul(factor))
            .filter(|mantissa| mantissa.unsigned_abs() <= Self::MANTISSA_MAX)
            .ok_or(InvalidAmount::Overflow)?;
        // A zero made from its mantissa has no sign: "-0.00" never appears.
        let value = Decimal::try_from_i128_with_scale(mantissa, currency.exponent)
            .map_err(|_| InvalidAmount::Overflow)?;
        Ok(Self { value, currency })
    }

    /// The number.
    pub fn value(self) -> Decimal {
        self.value
    }

    /// The currency.
    pub fn currency(self) -> Currency {
        self.currency
    }

    /// Whether it is nothing.
    pub fn is_zero(self) -> bool {
        self.value.mantissa() == 0
    }

    /// As much in the other direction.
    #[must_use]
    pub fn negated(self) -> Self {
        Self::zero(self.currency)
            .checked_sub(self)
            .expect("an amount and its negation have the same digits")
    }

    /// Whether it is more than nothing.
    pub fn is_positive(self) -> bool {
        self.value.mantissa() > 0
    }

    /// Whether it is less than nothing.
    pub fn is_negative(self) -> bool {
        self.value.mantissa() < 0
    }

    /// The sum.
    ///
    /// # Panics
    /// If the currencies differ: callers compare them first, for a difference is the user's error and has its own
    /// rejection.
    pub fn checked_add(self, other: Self) -> Result<Self, InvalidAmount> {
        assert_eq!(
            self.currency, other.currency,
            "amounts of different currencies"
        );
        self.combine(other, i128::checked_add)
    }

    /// The difference.
    ///
    /// # Panics
    /// If the currencies differ, as [`Self::checked_add`].
    pub fn checked_sub(self, other: Self) -> Result<Self, InvalidAmount> {
        assert_eq!(
            self.currency, other.currency,
            "amounts of different currencies"
        );
        self.combine(other, i128::checked_sub)
    }

    fn combine(
        self,
        other: Self,
        operation: impl Fn(i128, i128) -> Option<i128>,
    ) -> Result<Self, InvalidAmount> {
        // Both have the currency's scale, so their mantissas can be added as they are.
        let mantissa = operation(self.value.mantissa(), other.value.mantissa())
            .ok_or(InvalidAmount::Overflow)?;
        let value = Decimal::try_from_i128_with_scale(mantissa, self.currency.exponent)
            .map_err(|_| InvalidAmount::Overflow)?;
        Self::rescaled(value, self.currency)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.value, formatter)
    }
}

/// Written as the decimal string alone; the currency stands beside it in every document.
impl Serialize for Money {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn currency(code: &str) -> Currency {
        Currency::lookup(code.parse().unwrap()).unwrap()
    }

    fn money(text: &str, code: &str) -> Money {
        Money::new(parse_decimal(text).unwrap(), currency(code)).unwrap()
    }

    #[test]
    fn exponents_are_the_standards() {
        for (code, exponent) in [("USD", 2), ("JPY", 0), ("BHD", 3), ("CLF", 4)] {
            assert_eq!(currency(code).exponent(), exponent, "{code}");
        }
        for unknown in ["XAU", "XXX", "AAA", "POINTS"] {
            assert!(
                Currency::lookup(unknown.parse().unwrap()).is_err(),
                "{unknown}"
            );
        }
        for malformed in ["usd", "US", "", "U$D", "1USD", "ABCDEFGHIJKLM"] {
            assert!(malformed.parse::<CurrencyCode>().is_err(), "{malformed}");
        }
    }

    #[test]
    fn an_amount_gets_the_currencys_decimals() {
        assert_eq!(money("25", "USD").to_string(), "25.00");
        assert_eq!(money("-0.0", "USD").to_string(), "0.00");
        assert_eq!(money("7", "JPY").to_string(), "7");
        assert_eq!(money("0.001", "BHD").to_string(), "0.001");
        let three_decimals = parse_decimal("25.000").unwrap();
        let error = Money::new(three_decimals, currency("USD")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "USD has 2 decimals, and 25.000 has 3; round it before sending"
        );
    }

    #[test]
    fn exponents_are_expanded_without_rounding() {
        for (text, exact) in [
            ("1e2", "100"),
            ("1.5E3", "1500"),
            ("15e-1", "1.5"),
            ("-2.50e1", "-25.0"),
        ] {
            assert_eq!(parse_decimal(text).unwrap().to_string(), exact, "{text}");
        }
    }

    #[test]
    fn what_is_no_plain_decimal_is_refused() {
        for text in [
            "", "-", ".5", "5.", "+1", " 1", "1 ", "1_000", "1,5", "0x1", "NaN", "inf", "1e",
            "1e+", "--1", "1.2.3", "١",
        ] {
            assert!(
                matches!(parse_decimal(text), Err(InvalidAmount::NotDecimal { .. })),
                "{text}"
            );
        }
        for text in [
            "1e400",
            "1e-400",
            "1e99999999999999999999",
            "1e28",
            "9".repeat(28).as_str(),
            "0.0000000000000000000000000000001",
        ] {
            assert!(
                matches!(
                    parse_decimal(text),
                    Err(InvalidAmount::TooManyDigits { .. })
                ),
                "{text}"
            );
        }
    }

    #[test]
    fn arithmetic_is_exact_and_overflow_is_an_error() {
        let sum = money("0.10", "USD")
            .checked_add(money("0.20", "USD"))
            .unwrap();
        assert_eq!(sum, money("0.30", "USD"));
        let largest = money(&format!("{}.99", "9".repeat(25)), "USD");
        assert_eq!(
            largest.checked_add(money("0.01", "USD")),
            Err(InvalidAmount::Overflow)
        );
        let nothing = largest.checked_sub(largest).unwrap();
        assert_eq!(nothing.to_string(), "0.00");
        assert!(!nothing.is_negative() && !nothing.is_positive());
    }

    #[test]
    fn too_large_for_the_currency_is_an_overflow() {
        let twenty_six_digits = parse_decimal(&"9".repeat(26)).unwrap();
        assert_eq!(
            Money::new(twenty_six_digits, currency("USD")),
            Err(InvalidAmount::Overflow)
        );
        assert!(Money::new(twenty_six_digits, currency("JPY")).is_ok());
    }

    #[test]
    fn what_an_amount_is_worth_is_rounded_half_to_even_once() {
        for (amount, code, rate, other, worth) in [
            ("100", "USD", "0.92", "EUR", Some("92.00")),
            // Ties go to the even cent, on both sides of zero.
            ("0.25", "USD", "0.1", "EUR", Some("0.02")),
            ("0.35", "USD", "0.1", "EUR", Some("0.04")),
            ("-0.25", "USD", "0.1", "EUR", Some("-0.02")),
            ("-0.35", "USD", "0.1", "EUR", Some("-0.04")),
            // A tie in the third decimal that more decimals decide.
            ("0.25", "USD", "0.10000000000000000001", "EUR", Some("0.03")),
            ("0.35", "USD", "0.09999999999999999999", "EUR", Some("0.03")),
            ("10", "USD", "149.505", "JPY", Some("1495")),
            ("10", "USD", "149.55", "JPY", Some("1496")),
            ("1", "JPY", "0.0025", "BHD", Some("0.002")),
            ("1", "JPY", "2", "BHD", Some("2.000")),
            (
                "0.01",
                "USD",
                "0.0000000000000000000000000001",
                "EUR",
                Some("0.00"),
            ),
            // 27 digits times 13: more than 128 bits.
            (
                "9999999999999999999999999.99",
                "USD",
                "0.9999999999999",
                "EUR",
                None,
            ),
            // More than an amount can have.
            ("9999999999999999999999999.99", "USD", "2", "EUR", None),
        ] {
            let [from, to] =
                [code, other].map(|code| Currency::lookup(code.parse().unwrap()).unwrap());
            let amount = Money::new(parse_decimal(amount).unwrap(), from).unwrap();
            let converted = amount.converted(parse_decimal(rate).unwrap(), to);
            let shown = converted.as_ref().map(ToString::to_string);
            match worth {
                Some(worth) => assert_eq!(shown.as_deref(), Ok(worth), "{amount} x {rate}"),
                None => assert_eq!(converted, Err(InvalidAmount::Overflow), "{amount} x {rate}"),
            }
        }
    }
}
