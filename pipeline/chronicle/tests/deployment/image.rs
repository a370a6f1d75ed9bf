//! Dockerfile and .dockerignore.

use crate::{read, root};

/// The instructions of the Dockerfile, each on one line.
fn instructions() -> Vec<String> {
    let text = read("Dockerfile");
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .collect();
    let joined = lines.join("\n").replace("\\\n", " ");
    joined
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect()
}

/// What follows an instruction's name, for each of this name.
fn all(name: &str) -> Vec<String> {
    let prefix = format!("{name} ");
    instructions()
        .iter()
        .filter_map(|line| line.strip_prefix(&prefix).map(str::to_owned))
        .collect()
}

/// What the image runs when nothing else is said.
pub(crate) fn command_line() -> Vec<String> {
    assert_eq!(all("ENTRYPOINT"), ["[\"chronicle\"]"]);
    serde_json::from_str(&all("CMD")[0]).expect("CMD is a list")
}

/// What is copied from the project.
fn copied() -> Vec<String> {
    let copies = all("COPY")
        .into_iter()
        .filter(|copy| !copy.starts_with("--from="));
    copies
        .flat_map(|copy| {
            let mut words: Vec<String> = copy.split_whitespace().map(str::to_owned).collect();
            words.pop();
            words
        })
        .collect()
}

#[test]
fn what_is_copied_exists_and_reaches_the_builder() {
    let ignore = read(".dockerignore");
    let let_through: Vec<&str> = ignore
        .lines()
        .filter_map(|line| line.strip_prefix('!'))
        .collect();
    assert!(
        ignore.lines().any(|line| line == "*"),
        "everything else is ignored"
    );
    assert_eq!(copied(), let_through, "COPY and .dockerignore differ");
    for path in copied() {
        assert!(root().join(&path).exists(), "{path} does not exist");
    }
}

#[test]
fn the_builder_gets_the_whole_workspace() {
    let manifest = read("Cargo.toml");
    let members = manifest
        .split("members = [")
        .nth(1)
        .and_then(|rest| rest.split(']').next())
        .expect("there are members");
    let members = members
        .split(',')
        .map(|member| member.trim().trim_matches('"'))
        .filter(|member| !member.is_empty());
    for needed in members.chain(["Cargo.toml", "Cargo.lock", "migrations"]) {
        let top = needed.split('/').next().expect("a path has a first part");
        assert!(
            copied().iter().any(|path| path == needed || path == top),
            "{needed} is not copied"
        );
    }
}

#[test]
fn the_builder_is_new_enough_and_builds_exactly_the_lock_file() {
    let from = all("FROM");
    let version = from[0]
        .trim_start_matches("rust:")
        .split('-')
        .next()
        .expect("a tag begins with a version")
        .to_owned();
    let numbers = |version: &str| {
        version
            .split('.')
            .map(|part| part.parse().expect("a number"))
            .collect::<Vec<u32>>()
    };
    assert!(
        numbers(&version) >= numbers(env!("CARGO_PKG_RUST_VERSION")),
        "Rust {version} is too old"
    );
    let build = all("RUN").join(" ");
    assert!(
        build.contains("cargo build --release --locked -p chronicle"),
        "{build}"
    );
    // One Debian, one C library.
    let (first, last) = (
        from[0].split(' ').next().expect("an image"),
        from.last().expect("a last stage"),
    );
    let code_name = last
        .trim_start_matches("debian:")
        .split('-')
        .next()
        .expect("a code name");
    assert!(first.ends_with(code_name), "{first} and {last}");
}

#[test]
fn the_image_is_pinned_and_not_root() {
    for from in all("FROM") {
        assert!(!from.contains("latest") && from.contains(':'), "{from}");
    }
    let user = all("USER").pop().expect("it names a user");
    let number: u32 = user
        .split(':')
        .next()
        .expect("a user")
        .parse()
        .expect("a number, which an orchestrator can judge");
    assert!(number >= 10_000, "{user}");
    let last = instructions()
        .iter()
        .rposition(|line| line.starts_with("USER "))
        .expect("it names a user");
    let still_building = instructions()[last..]
        .iter()
        .any(|line| line.starts_with("RUN ") || line.starts_with("COPY "));
    assert!(
        !still_building,
        "whatever is made in the image belongs to root"
    );
}
