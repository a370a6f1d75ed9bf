//! URLs of servers, for people.

/// A URL (or several, with commas) without passwords, tokens and parameters.
pub fn shown(url: &str) -> String {
    let one = |url: &str| {
        let (scheme, rest) = url
            .trim()
            .split_once("://")
            .map_or(("", url.trim()), |(scheme, rest)| (scheme, rest));
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let authority = match authority.rsplit_once('@') {
            None => authority.to_owned(),
            Some((user_and_password, host)) => match user_and_password.split_once(':') {
                Some((user, _)) => format!("{user}@{host}"),
                // NATS takes a lone name for a token.
                None if scheme.starts_with("postgres") => format!("{user_and_password}@{host}"),
                None => host.to_owned(),
            },
        };
        let separator = if scheme.is_empty() { "" } else { "://" };
        format!("{scheme}{separator}{authority}{path}")
    };
    url.split(',').map(one).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        for (url, expected) in [
            ("nats://127.0.0.1:4222", "nats://127.0.0.1:4222"),
            (
                "nats://me:secret@a:4222, nats://b:4222",
                "nats://me@a:4222,nats://b:4222",
            ),
            ("nats://token@a:4222", "nats://a:4222"),
            ("127.0.0.1:4222", "127.0.0.1:4222"),
            (
                "postgres://app@a:26257/event_store",
                "postgres://app@a:26257/event_store",
            ),
            (
                "postgres://app:p%40s@a/db?password=x&sslmode=require",
                "postgres://app@a/db",
            ),
            ("postgres://app:p@s@a/db", "postgres://app@a/db"),
            ("nonsense", "nonsense"),
            ("", ""),
        ] {
            assert_eq!(shown(url), expected, "{url}");
        }
    }
}
