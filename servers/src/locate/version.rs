//! Versions as servers tell them.

use std::fmt;

/// The two leading numbers of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The first number.
    pub major: u32,
    /// The second number, 0 when there is none.
    pub minor: u32,
}

impl Version {
    /// The first word of `text` that looks like a version: `v2.15.1`, `15.18`, `18beta1`.
    pub(crate) fn find(text: &str) -> Option<Self> {
        text.split_whitespace().find_map(|word| {
            let mut numbers = word
                .trim_start_matches('v')
                .split(|character: char| !character.is_ascii_digit());
            let major = numbers.next()?.parse().ok()?;
            let minor = numbers
                .next()
                .and_then(|number| number.parse().ok())
                .unwrap_or(0);
            Some(Self { major, minor })
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_servers_say() {
        for (text, major, minor) in [
            ("nats-server: v2.15.1", 2, 15),
            ("nats-server: v2.12.0-dev", 2, 12),
            (
                "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)",
                15,
                18,
            ),
            ("postgres (PostgreSQL) 19devel", 19, 0),
            (
                "cockroach version details:\n  Build Tag:   v21.1.7\n  Build Time:  2021/08/09",
                21,
                1,
            ),
        ] {
            assert_eq!(
                Version::find(text),
                Some(Version { major, minor }),
                "{text}"
            );
        }
        assert_eq!(Version::find("postgres: command not found"), None);
    }
}
