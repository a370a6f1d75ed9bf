//! Every `chronicle …` that is written down anywhere, asked of the real program.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use crate::pages::{spans, take_apart};
use crate::{compose, documents, image, read};

/// Where command lines are taken from says how strict to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// To be typed as it stands.
    Line,
    /// In running text: a value may be a placeholder.
    Mention,
}

/// Asks the program for help behind these arguments: it reads them up to there, and refuses what it does not know.
fn refusal(arguments: &[String], kind: Kind) -> Option<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_chronicle"))
        .args(arguments)
        .arg("--help")
        .stdin(Stdio::null())
        .output()
        .expect("chronicle can be started");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    let is_placeholder = kind == Kind::Mention && error.starts_with("error: invalid value");
    (!output.status.success() && !is_placeholder).then_some(error)
}

#[test]
fn every_command_line_that_is_written_down_is_understood() {
    let mut found: BTreeMap<Vec<String>, (String, Kind)> = BTreeMap::new();
    let mut lines = 0;
    let mut add = |place: &str, kind: Kind, arguments: Vec<String>| {
        lines += usize::from(kind == Kind::Line);
        let known = found
            .entry(arguments)
            .or_insert_with(|| (place.to_owned(), kind));
        if kind == Kind::Line {
            *known = (place.to_owned(), kind);
        }
    };
    for page in documents() {
        let (blocks, prose) = take_apart(&read(&page));
        for block in blocks
            .iter()
            .filter(|block| ["sh", "bash", "console", ""].contains(&block.language.as_str()))
        {
            for arguments in in_script(&block.text) {
                add(&page, Kind::Line, arguments);
            }
        }
        for span in spans(&prose) {
            if span.contains("chronicle ") {
                for arguments in in_script(&span.replace('\n', " ")) {
                    add(&page, Kind::Mention, arguments);
                }
            }
        }
    }
    for file in ["docker-compose.yml", "Dockerfile"] {
        for comment in read(file)
            .lines()
            .filter_map(|line| line.trim_start().strip_prefix('#'))
        {
            for arguments in in_script(comment) {
                add(file, Kind::Line, arguments);
            }
        }
    }
    for arguments in compose::command_lines() {
        add("docker-compose.yml", Kind::Line, arguments);
    }
    add("Dockerfile", Kind::Line, image::command_line());

    let refused: Vec<String> = found
        .iter()
        .filter_map(|(arguments, (place, kind))| {
            let refusal = refusal(arguments, *kind)?;
            Some(format!(
                "{place}: chronicle {}\n{refusal}",
                arguments.join(" ")
            ))
        })
        .collect();
    assert!(
        refused.is_empty(),
        "not understood:\n{}",
        refused.join("\n")
    );
    // Should the reading of pages break, nothing would be refused any more.
    assert!(
        lines > 60 && found.len() > 40,
        "only {lines} lines, {} of them different",
        found.len()
    );
}

#[test]
fn what_does_not_exist_is_refused() {
    let arguments = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    for line in [
        "frobnicate",
        "send --fiel x.ndjson",
        "projection frobnicate",
        "run --only intake extra",
        "dev --run",
    ] {
        assert!(refusal(&arguments(line), Kind::Mention).is_some(), "{line}");
    }
    assert!(refusal(&arguments("outcome COMMAND_ID"), Kind::Line).is_some());
    assert!(refusal(&arguments("outcome COMMAND_ID"), Kind::Mention).is_none());
}

/// The arguments of each `chronicle` that a script starts: directly, with cargo, or inside of a container.
fn in_script(script: &str) -> Vec<Vec<String>> {
    let joined = script.replace("\\\n", " ");
    let commands = joined
        .lines()
        .flat_map(|line| split(line.trim_start().trim_start_matches("$ ")));
    commands.filter_map(|words| arguments_of(&words)).collect()
}

fn arguments_of(words: &[String]) -> Option<Vec<String>> {
    let is_assignment = |word: &&String| {
        word.split_once('=').is_some_and(|(name, _)| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
        })
    };
    let set_up = words.iter().take_while(|word| is_assignment(word)).count();
    let words = &words[set_up..];
    let is = |prefix: &[&str]| {
        words.len() >= prefix.len()
            && words
                .iter()
                .zip(prefix)
                .all(|(word, wanted)| word == wanted)
    };
    let arguments = if is(&["cargo", "run"]) {
        let separator = words.iter().position(|word| word == "--")?;
        &words[separator + 1..]
    } else if is(&["docker", "compose", "exec", "chronicle", "chronicle"])
        || is(&["docker", "compose", "run", "--rm", "chronicle"])
    {
        &words[5..]
    } else if is(&["docker", "run", "--rm", "chronicle"]) {
        &words[4..]
    } else if is(&["timeout"]) && words.get(2).is_some_and(|word| word == "chronicle") {
        &words[3..]
    } else if [
        "chronicle",
        "target/release/chronicle",
        "target/debug/chronicle",
    ]
    .contains(&words.first()?.as_str())
    {
        &words[1..]
    } else {
        return None;
    };
    // "…" stands for whatever may follow.
    Some(
        arguments
            .iter()
            .filter(|word| !word.contains('…'))
            .cloned()
            .collect(),
    )
}

/// A line as the words of its commands, in a shell's way as far as these pages go: quotes, comments, pipes, lists,
/// redirections and `$(…)`, whose inside is a command, too.
fn split(line: &str) -> Vec<Vec<String>> {
    let (mut commands, mut words, mut word) = (Vec::new(), Vec::new(), None::<String>);
    let mut inner = Vec::new();
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\'' => word
                .get_or_insert_default()
                .extend(characters.by_ref().take_while(|c| *c != '\'')),
            '"' => {
                let quoted: String = characters.by_ref().take_while(|c| *c != '"').collect();
                inner.extend(substitutions(&quoted));
                word.get_or_insert_default().push_str(&quoted);
            }
            '$' if characters.peek() == Some(&'(') => {
                let mut text = String::new();
                let mut depth = 0;
                for next in characters.by_ref() {
                    depth += i32::from(next == '(') - i32::from(next == ')');
                    if depth == 0 {
                        break;
                    }
                    text.push(next);
                }
                inner.extend(split(text.trim_start_matches('(')));
                word.get_or_insert_default().push_str("substituted");
            }
            '#' if word.is_none() => break,
            '|' | ';' | '&' => {
                words.extend(word.take());
                commands.push(std::mem::take(&mut words));
            }
            '>' | '<' => {
                // A redirection: its file is no argument, nor is a descriptor's number before it.
                if word
                    .as_ref()
                    .is_some_and(|word| word.bytes().any(|b| !b.is_ascii_digit()))
                {
                    words.extend(word.take());
                }
                word = None;
                while characters
                    .next_if(|c| matches!(c, '>' | '<' | '&' | ' '))
                    .is_some()
                {}
                while characters.next_if(|c| !c.is_whitespace()).is_some() {}
            }
            space if space.is_whitespace() => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    commands.push(words);
    commands.extend(inner);
    commands.retain(|words: &Vec<String>| !words.is_empty());
    commands
}

/// The commands of each `$(…)` in a text.
fn substitutions(text: &str) -> Vec<Vec<String>> {
    text.split("$(")
        .skip(1)
        .filter_map(|rest| rest.rsplit_once(')'))
        .flat_map(|(inside, _)| split(inside))
        .collect()
}

#[test]
fn scripts_are_split_as_a_shell_does() {
    let lines = |script| {
        in_script(script)
            .iter()
            .map(|words| words.join("|"))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        lines("chronicle send deposit A 1 --description \"for rent\" # why"),
        ["send|deposit|A|1|--description|for rent"]
    );
    assert_eq!(
        lines("$ chronicle -o json status | jq .pid && chronicle verify > out 2>&1"),
        ["-o|json|status", "verify"]
    );
    assert_eq!(
        lines("curl \"$(chronicle status -o json | jq -r .http)/readyz\""),
        ["status|-o|json"]
    );
    assert_eq!(
        lines("kill $(chronicle status -o json | jq .pid)"),
        ["status|-o|json"]
    );
    assert_eq!(
        lines("CHRONICLE_DATA_DIR=x cargo run --release -- dev \\\n  --demo"),
        ["dev|--demo"]
    );
    assert_eq!(
        lines("docker compose exec chronicle chronicle verify"),
        ["verify"]
    );
    assert_eq!(
        lines("send TYPE; chronicle projection skip NAME --reason \"…\""),
        ["projection|skip|NAME|--reason"]
    );
    assert!(lines("echo chronicle dev; # chronicle dev").is_empty());
}
