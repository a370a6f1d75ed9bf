//! Texts of publishers in the journals: any text goes in, none can end a line or become part of the journal.
//!
//! What must not stand there is percent-encoded (RFC 3986 §2.1), byte by byte. A `%` is encoded only where two
//! hexadecimal digits follow it, so that `5% off` stays as it is and any decoder gives the publisher's text back.

/// A text with `special` and everything that is no plain character encoded.
pub(super) fn encoded(text: &str, special: &[char]) -> String {
    let mut encoded = String::with_capacity(text.len());
    let inner = text.trim();
    let begin = text.len() - text.trim_start().len();
    for (index, character) in text.char_indices() {
        let is_at_the_edge = !(begin..begin + inner.len()).contains(&index);
        let rest = &text.as_bytes()[index..];
        let reads_as_code =
            character == '%' && rest.len() > 2 && rest[1..3].iter().all(u8::is_ascii_hexdigit);
        if is_at_the_edge || reads_as_code || !is_plain(character) || special.contains(&character) {
            push_code(&mut encoded, character);
        } else {
            encoded.push(character);
        }
    }
    encoded
}

/// Not a control character, nor one that ends a line or turns its direction.
fn is_plain(character: char) -> bool {
    let turns = matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !(character.is_control() || matches!(character, '\u{2028}' | '\u{2029}') || turns)
}

fn push_code(encoded: &mut String, character: char) {
    for byte in character.encode_utf8(&mut [0; 4]).bytes() {
        encoded.push('%');
        for half in [byte >> 4, byte & 15] {
            encoded.push(char::from(b"0123456789ABCDEF"[usize::from(half)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_plain_stays_and_the_rest_can_be_decoded() {
        for (text, expected) in [
            ("rent, March", "rent, March"),
            ("5% off", "5% off"),
            ("100%25", "100%2525"),
            ("a;b", "a%3Bb"),
            ("%\u{1b}", "%%1B"),
            ("%2;", "%2%3B"),
            (" x  y\n", "%20x  y%0A"),
            ("\u{a0}", "%C2%A0"),
            ("a\u{85}b\u{2028}c\u{202e}", "a%C2%85b%E2%80%A8c%E2%80%AE"),
            ("Žluťoučký 🎉", "Žluťoučký 🎉"),
            ("", ""),
        ] {
            let encoded = encoded(text, &[';']);
            assert_eq!(encoded, expected);
            assert_eq!(decoded(&encoded), text);
        }
    }

    fn decoded(text: &str) -> String {
        let mut bytes = Vec::new();
        let mut rest = text.as_bytes();
        while let Some((first, others)) = rest.split_first() {
            let code = others.get(..2).and_then(|code| hex::decode(code).ok());
            if let Some(code) = code.filter(|_| *first == b'%') {
                bytes.extend(code);
                rest = &others[2..];
            } else {
                bytes.push(*first);
                rest = others;
            }
        }
        String::from_utf8(bytes).unwrap()
    }
}
