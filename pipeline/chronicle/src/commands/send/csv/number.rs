//! Amounts as people and banks write them: `1.234,50`, `1,234.50`, `+1 234.50`.

/// The amount as the ledger reads it, where `mark` stands before the decimals. Digits may be grouped by threes, by `.` or
/// `,` (the one that is not the mark), `'`, a space or a narrow one, but by one of them only.
pub(super) fn plain(text: &str, mark: char) -> Option<String> {
    let (sign, digits) = match text.chars().next()? {
        '-' | '\u{2212}' => ("-", text.chars().skip(1).collect()),
        '+' => ("", text.chars().skip(1).collect()),
        _ => ("", text.to_owned()),
    };
    let (whole, decimals) = match digits.split_once(mark) {
        Some((whole, decimals)) => (whole, Some(decimals)),
        None => (digits.as_str(), None),
    };
    let whole = ungrouped(whole, mark)?;
    match decimals {
        None => Some(format!("{sign}{whole}")),
        Some(decimals) if is_digits(decimals) => Some(format!("{sign}{whole}.{decimals}")),
        Some(_) => None,
    }
}

fn ungrouped(whole: &str, mark: char) -> Option<String> {
    let Some(group_mark) = whole.chars().find(|it| !it.is_ascii_digit()) else {
        return is_digits(whole).then(|| whole.to_owned());
    };
    let may_group = matches!(
        group_mark,
        '.' | ',' | '\'' | '’' | ' ' | '\u{a0}' | '\u{202f}'
    );
    if !may_group || group_mark == mark {
        return None;
    }
    let groups: Vec<&str> = whole.split(group_mark).collect();
    let (first, others) = groups.split_first()?;
    let fits = (1..=3).contains(&first.len()) && others.iter().all(|group| group.len() == 3);
    (fits && groups.iter().all(|group| is_digits(group))).then(|| groups.concat())
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_by_their_decimal_mark_and_nothing_is_guessed() {
        for (text, mark, expected) in [
            ("25", ',', Some("25")),
            ("25,5", ',', Some("25.5")),
            ("1.234.567,50", ',', Some("1234567.50")),
            ("1 234,50", ',', Some("1234.50")),
            ("1\u{a0}234", ',', Some("1234")),
            ("1'234.50", '.', Some("1234.50")),
            ("1,234", '.', Some("1234")),
            ("-1,234.5", '.', Some("-1234.5")),
            ("\u{2212}3", '.', Some("-3")),
            ("+3", '.', Some("3")),
            // Grouped the other way: 12.50 with a mark of `,` would be 1250.
            ("12.50", ',', None),
            ("1.23", ',', None),
            ("1,2,3", '.', None),
            ("1.234 567,00", ',', None),
            ("1234,567", '.', None),
            ("25,", ',', None),
            (",5", ',', None),
            ("", '.', None),
            ("-", '.', None),
            ("--1", '.', None),
            ("1e3", '.', None),
            ("25 EUR", '.', None),
            ("1.2.3", '.', None),
        ] {
            assert_eq!(plain(text, mark).as_deref(), expected, "{text} {mark}");
        }
    }
}
