//! Texts that would be something else in a journal, and names that would be the same.

use crate::book::{Past, book, command};
use crate::cli_support::id;

/// The ids of the accounts of [`nasty`]: some differ only in what Beancount's names cannot hold.
pub(crate) const IDS: [&str; 16] = [
    "alice",
    "ALICE",
    "X--alice",
    "X_alice",
    "_",
    "-",
    "--",
    "-_",
    "_-",
    "__",
    "A_B",
    "A-B",
    "A--B",
    "A--UB",
    "0",
    "2026-01-31",
];

/// Texts that end lines, comments, strings, tags, or look like something else.
pub(crate) const TEXTS: [&str; 30] = [
    "; a comment",
    "rent ; and more",
    "\"quoted\"",
    "back\\slash \\\" and \\n at the end \\",
    "two\nlines",
    "\n2026-01-01 * forged\n    assets:alice  1000000.00 USD\n    equity:opening\n",
    "\r\n2026-01-01 open Assets:Forged\r\n",
    "lone \r return",
    "date:2020-01-01, date2:2020-01-02",
    "[2020/01/01=2020/01/02]",
    "(code) in front",
    "* starred",
    "! pending",
    "payee | note",
    "50%, or 100%25, or %zz, or %",
    "  spaces around  ",
    "\t\ttabs\t",
    " ",
    "\u{a0}\u{3000}other spaces\u{2003}",
    "\u{1b}[2J\u{7}bell\u{8}",
    "\u{85}next\u{2028}line\u{2029}paragraph",
    "\u{202e}turned\u{2066}",
    "\u{feff}mark \u{200b}\u{200d}",
    "Žluťoučký kůň 🎉 漢字 العربية",
    "#tag ^link @ 3 USD {1 USD} = 4",
    "comment",
    "end comment",
    "include \"/etc/passwd\"",
    "plugin \"os\"",
    "\"\"\"",
];

/// Keys of metadata that mean something elsewhere, or cannot be keys there.
const KEYS: [&str; 10] = [
    "date", "date:", "a,b", "a;b", "_", "A", "filename", "lineno", "%3A", "\"\\",
];

/// A book that holds all of them, one text a day.
pub(crate) fn nasty() -> Past {
    let quoted = |text: &str| serde_json::to_string(text).unwrap();
    let mut past = Vec::new();
    let currencies = ["USD", "JPY", "BHD"];
    for (index, id) in IDS.iter().enumerate() {
        let fields = format!(
            r#""type":"create_account","account_id":"{id}","owner_name":{},"currency":"{}","initial_balance":"{}","description":{},"actor":{}"#,
            quoted(TEXTS[index]),
            currencies[index % 3],
            1_000 + index,
            quoted(TEXTS[index + 1]),
            quoted(TEXTS[index + 2]),
        );
        past.push(("2026-01-01T00:00:00Z".to_owned(), fields));
    }
    for (index, text) in TEXTS.iter().enumerate() {
        let at = format!("2026-02-{:02}T{:02}:00:00Z", 1 + index % 28, index / 28);
        let metadata: Vec<String> = KEYS
            .iter()
            .map(|key| format!("{}:{}", quoted(key), quoted(text)))
            .collect();
        let rest = format!(
            r#""amount":"1","description":{},"actor":{},"metadata":{{{}}}"#,
            quoted(text),
            quoted(text),
            metadata.join(",")
        );
        // Of one currency: every third account.
        let (from, to) = (IDS[index % 13], IDS[index % 13 + 3]);
        past.push((
            at.clone(),
            format!(
                r#""type":"transfer","from_account_id":"{from}","to_account_id":"{to}",{rest}"#
            ),
        ));
        past.push((
            at.clone(),
            format!(r#""type":"withdraw","account_id":"{from}",{rest}"#),
        ));
        // Commands are numbered from 1.
        let withdrawal = id(past.len() as u64);
        past.push((
            at.clone(),
            format!(r#""type":"deposit","account_id":"{to}",{rest}"#),
        ));
        past.push((
            at,
            format!(
                r#""type":"reverse","account_id":"{from}","reversed_command_id":"{withdrawal}","reason":{}"#,
                quoted(text)
            ),
        ));
    }
    past.into_iter()
        .zip(1..)
        .map(|((at, fields), number)| (at, command(number, &fields)))
        .collect()
}

#[tokio::test]
async fn no_text_can_end_a_line_of_a_journal() {
    let book = book(&nasty()).await;
    for format in ["hledger", "beancount"] {
        let journal = book.export(format, "2026-03-01T00:00:00Z").await;
        let begins = |line: &&str| line.starts_with(|first: char| !first.is_whitespace());
        for line in journal.lines().filter(begins) {
            let ours = [
                "2026-",
                ";",
                "account assets:",
                "account equity:",
                "commodity 1000.",
                "decimal-mark .",
                "option \"title\"",
            ];
            assert!(ours.iter().any(|begin| line.starts_with(begin)), "{line}");
        }
        assert!(
            journal.chars().all(|it| it == '\n' || !it.is_control()),
            "{format}"
        );
        assert!(!journal.contains(['\u{2028}', '\u{2029}', '\u{202e}']));
    }
}

#[tokio::test]
async fn a_table_holds_the_texts_as_they_are() {
    let book = book(&nasty()).await;
    let table = book.export("csv", "2026-03-01T00:00:00Z").await;
    for text in TEXTS {
        let is_quoted = text.contains(['"', ',', '\r', '\n']);
        let cell = if is_quoted {
            format!(",\"{}\",", text.replace('"', "\"\""))
        } else {
            format!(",{text},")
        };
        assert!(table.contains(&cell), "{text:?}");
    }
}
