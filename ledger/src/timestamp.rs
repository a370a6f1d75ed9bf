//! Points in time, to the microsecond: the resolution of both databases.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::excerpt::excerpt;

/// Why a text is no timestamp.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a timestamp is RFC 3339 with an offset, at most 6 fractional digits and a year from 1 to 9999 in UTC, such as 2026-01-31T12:00:00.000001Z, and this is not: {text:?}"
)]
pub struct InvalidTimestamp {
    text: String,
}

/// Microseconds since 1970-01-01T00:00:00Z. Written as RFC 3339 in UTC with exactly six fractional digits, so that one
/// instant has one spelling. Always within the years 1 to 9999, which RFC 3339 and every date library can write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 0001-01-01T00:00:00.000000Z, the earliest instant.
    pub const MIN: Self = Self(-62_135_596_800_000_000);
    /// 9999-12-31T23:59:59.999999Z, the last instant.
    pub const MAX: Self = Self(253_402_300_799_999_999);

    /// `microseconds` since 1970-01-01T00:00:00Z; what lies outside the years 1 to 9999 becomes [`Self::MIN`] or
    /// [`Self::MAX`].
    pub const fn from_unix_microseconds(microseconds: i64) -> Self {
        if microseconds < Self::MIN.0 {
            Self::MIN
        } else if microseconds > Self::MAX.0 {
            Self::MAX
        } else {
            Self(microseconds)
        }
    }

    /// `microseconds` since 1970-01-01T00:00:00Z, unless that lies outside the years 1 to 9999: for numbers that must
    /// not be changed on the way in.
    pub fn try_from_unix_microseconds(microseconds: i64) -> Option<Self> {
        (Self::MIN.0..=Self::MAX.0)
            .contains(&microseconds)
            .then_some(Self(microseconds))
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    pub const fn unix_microseconds(self) -> i64 {
        self.0
    }

    /// The day that it is in, in UTC.
    pub const fn day(self) -> Day {
        Day(self.0.div_euclid(MICROSECONDS_PER_DAY))
    }

    /// The next instant that can be told apart from this one. [`Self::MAX`] has none and stays: an account whose
    /// history has reached the end of the year 9999 keeps its order by version alone.
    #[must_use]
    pub const fn next_microsecond(self) -> Self {
        Self::from_unix_microseconds(self.0 + 1)
    }

    /// The instant as a calendar date in UTC.
    pub fn to_date_time(self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000)
            .expect("a timestamp lies within the years 1 to 9999, and every date can")
    }

    /// The instant of a calendar date; digits below a microsecond are cut off, and a year outside 1 to 9999 becomes
    /// [`Self::MIN`] or [`Self::MAX`].
    pub fn from_date_time(date_time: OffsetDateTime) -> Self {
        let microseconds = date_time.unix_timestamp_nanos().div_euclid(1_000);
        Self::from_unix_microseconds(i64::try_from(microseconds).unwrap_or(
            if microseconds.is_negative() {
                i64::MIN
            } else {
                i64::MAX
            },
        ))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.to_date_time();
        write!(
            formatter,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute(),
            at.second(),
            at.microsecond()
        )
    }
}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        let refuse = || InvalidTimestamp {
            text: excerpt(text),
        };
        let at = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| refuse())?;
        let fraction_digits = text.split_once('.').map_or(0, |(_, rest)| {
            rest.bytes().take_while(u8::is_ascii_digit).count()
        });
        let microseconds = i64::try_from(at.unix_timestamp_nanos().div_euclid(1_000)).ok();
        microseconds
            // `parse` cuts off what is below a nanosecond and takes a leap second for 59.999999999.
            .filter(|_| fraction_digits <= 6 && at.nanosecond() % 1_000 == 0)
            // An offset can move the year 9999 into the next.
            .and_then(Self::try_from_unix_microseconds)
            .ok_or_else(refuse)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

const MICROSECONDS_PER_DAY: i64 = 24 * 60 * 60 * 1_000_000;

/// A day of UTC: days since 1970-01-01. Written as RFC 3339's `full-date`, such as 2026-01-31.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(i64);

impl Day {
    /// Its first instant.
    pub const fn start(self) -> Timestamp {
        Timestamp::from_unix_microseconds(self.0 * MICROSECONDS_PER_DAY)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = self.start().to_date_time();
        let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
        write!(formatter, "{year:04}-{month:02}-{day:02}")
    }
}

/// Why a text is no day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a day is written as 2026-01-31, with a year from 1 to 9999, and this is not: {text:?}")]
pub struct InvalidDay {
    text: String,
}

impl FromStr for Day {
    type Err = InvalidDay;

    fn from_str(text: &str) -> Result<Self, InvalidDay> {
        format!("{text}T00:00:00Z")
            .parse::<Timestamp>()
            .map(Timestamp::day)
            .map_err(|_| InvalidDay {
                text: excerpt(text),
            })
    }
}

impl Serialize for Day {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_has_one_spelling() {
        let at: Timestamp = "2026-01-31T13:00:00.5+01:00".parse().unwrap();
        assert_eq!(at.to_string(), "2026-01-31T12:00:00.500000Z");
        assert_eq!(at.to_string().parse::<Timestamp>().unwrap(), at);
        assert_eq!(
            at.next_microsecond().to_string(),
            "2026-01-31T12:00:00.500001Z"
        );
    }

    #[test]
    fn before_1970_counts_backwards() {
        let at: Timestamp = "1969-12-31T23:59:59.999999Z".parse().unwrap();
        assert_eq!(at.unix_microseconds(), -1);
        assert_eq!(at.to_string(), "1969-12-31T23:59:59.999999Z");
    }

    #[test]
    fn a_day_begins_at_midnight_of_utc() {
        let last: Timestamp = "2026-01-30T23:59:59.999999Z".parse().unwrap();
        let first = last.next_microsecond();
        assert_eq!(last.day().to_string(), "2026-01-30");
        assert_eq!(first.day().to_string(), "2026-01-31");
        assert_eq!(first.day().start(), first);
        assert_eq!("2026-01-31".parse(), Ok(first.day()));
        assert_eq!(
            Timestamp::from_unix_microseconds(-1).day().to_string(),
            "1969-12-31"
        );
        for bad in ["2026-02-30", "2026-1-31", "2026-01-31T00", "today", ""] {
            assert!(bad.parse::<Day>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_not_exact_is_refused() {
        for bad in [
            "2026-01-31",
            "2026-01-31T12:00:00",
            "2026-01-31T12:00:00.0000001Z",
            "2026-01-31T12:00:00.0000000000001Z",
            "2026-06-30T23:59:60Z",
            "yesterday",
            "",
        ] {
            assert!(bad.parse::<Timestamp>().is_err(), "{bad}");
        }
    }

    #[test]
    fn every_timestamp_lies_within_the_years_1_to_9999() {
        let (first, last) = ("0001-01-01T00:00:00.000000Z", "9999-12-31T23:59:59.999999Z");
        assert_eq!(first.parse(), Ok(Timestamp::MIN));
        assert_eq!(last.parse(), Ok(Timestamp::MAX));
        for (microseconds, spelling) in [(i64::MIN, first), (i64::MAX, last)] {
            let at = Timestamp::from_unix_microseconds(microseconds);
            assert_eq!(at.to_string(), spelling);
            assert_eq!(Timestamp::from_date_time(at.to_date_time()), at);
            assert_eq!(Timestamp::try_from_unix_microseconds(microseconds), None);
        }
        assert_eq!(Timestamp::MAX.next_microsecond(), Timestamp::MAX);
        // The offset moves these across the boundary.
        for outside in [
            "9999-12-31T23:59:59-00:01",
            "0001-01-01T00:00:00+00:01",
            "0000-12-31T00:00:00Z",
        ] {
            assert!(outside.parse::<Timestamp>().is_err(), "{outside}");
        }
    }
}
