//! Sums over many accounts: of one currency, exact, and with room for more digits than one amount may have.

use std::fmt;

use serde::Serialize;

use crate::money::{Currency, Money};

/// The sum of any number of amounts of one currency. Written as [`Money`] is: as a decimal with the currency's decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sum {
    /// In the currency's smallest unit.
    units: i128,
    currency: Currency,
}

impl Sum {
    /// Of nothing.
    pub fn zero(currency: Currency) -> Self {
        Self { units: 0, currency }
    }

    /// A sum as a database writes it: a decimal whose trailing zeros may be missing. `None` if it is none, or has more
    /// decimals than the currency.
    pub fn from_database(text: &str, currency: Currency) -> Option<Self> {
        let (sign, digits) = text
            .strip_prefix('-')
            .map_or((1, text), |digits| (-1, digits));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let decimals = currency.exponent() as usize;
        let (fraction, surplus) = fraction.split_at(fraction.len().min(decimals));
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let is_number = !whole.is_empty() && is_digits(whole) && is_digits(fraction);
        if !is_number || !surplus.bytes().all(|byte| byte == b'0') {
            return None;
        }
        let units: i128 = format!("{whole}{fraction:0<decimals$}").parse().ok()?;
        Some(Self {
            units: sign * units,
            currency,
        })
    }

    /// The currency.
    pub fn currency(self) -> Currency {
        self.currency
    }

    /// With one amount more.
    ///
    /// # Panics
    /// If the currencies differ, as [`Money::checked_add`].
    #[must_use]
    pub fn plus(self, amount: Money) -> Self {
        assert_eq!(
            self.currency,
            amount.currency(),
            "amounts of different currencies"
        );
        // An amount always has its currency's decimals, so its mantissa counts the smallest units.
        let units = self.units.checked_add(amount.value().mantissa()).expect(
            "10^11 amounts of 27 digits fit into 128 bits, and no ledger has as many accounts",
        );
        Self { units, ..self }
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = self.currency.exponent() as usize;
        let digits = format!(
            "{:0>width$}",
            self.units.unsigned_abs(),
            width = decimals + 1
        );
        let (whole, fraction) = digits.split_at(digits.len() - decimals);
        let point = if decimals == 0 { "" } else { "." };
        let text = format!("{whole}{point}{fraction}");
        formatter.pad_integral(self.units >= 0, "", &text)
    }
}

/// Written as the decimal string alone, as [`Money`] is.
impl Serialize for Sum {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::parse_decimal;

    #[test]
    fn what_a_database_writes_is_read_exactly() {
        let read = |text: &str, code: &str| {
            let currency = Currency::lookup(code.parse().unwrap()).unwrap();
            Sum::from_database(text, currency).map(|sum| sum.to_string())
        };
        for (text, code, expected) in [
            ("0", "USD", "0.00"),
            ("12.5", "USD", "12.50"),
            ("-12.340000", "USD", "-12.34"),
            ("7", "JPY", "7"),
            ("7.0", "JPY", "7"),
            (
                "123456789012345678901234567890123.45",
                "USD",
                "123456789012345678901234567890123.45",
            ),
        ] {
            assert_eq!(read(text, code).as_deref(), Some(expected), "{text}");
        }
        for bad in ["", "-", ".", "1.234", "NaN", "1e5", "1.2.3", "+1", " 1"] {
            assert_eq!(read(bad, "USD"), None, "{bad}");
        }
    }

    fn sum(amounts: &[&str], code: &str) -> Sum {
        let currency = Currency::lookup(code.parse().unwrap()).unwrap();
        amounts.iter().fold(Sum::zero(currency), |sum, text| {
            sum.plus(Money::new(parse_decimal(text).unwrap(), currency).unwrap())
        })
    }

    #[test]
    fn a_sum_is_written_as_an_amount_is() {
        for (amounts, code, text) in [
            (&[][..], "USD", "0.00"),
            (&["1", "-0.99"], "USD", "0.01"),
            (&["-1", "0.99"], "USD", "-0.01"),
            (&["-250.50"], "USD", "-250.50"),
            (&["12345", "1"], "JPY", "12346"),
            (&["-1.006", "1"], "BHD", "-0.006"),
        ] {
            assert_eq!(sum(amounts, code).to_string(), text, "{amounts:?}");
        }
        assert_eq!(format!("{:>8}", sum(&["-1.5"], "USD")), "   -1.50");
    }

    #[test]
    fn a_sum_may_be_larger_than_any_amount() {
        let most = "9999999999999999999999999.99";
        assert_eq!(
            sum(&[most, most, "0.02"], "USD").to_string(),
            "20000000000000000000000000.00"
        );
    }
}
