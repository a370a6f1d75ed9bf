//! The deployment files and the documentation, held against the code: a flag, a variable, a code or a file that is named
//! there exists here.

mod codes;
mod command_lines;
mod compose;
mod hash_chain;
mod image;
mod pages;
mod variables;

use std::path::{Path, PathBuf};

/// The project's folder.
fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize()
        .expect("the package lies two folders below the project's")
}

/// A file of the project.
fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path))
        .unwrap_or_else(|error| panic!("{path} cannot be read: {error}"))
}

/// All files below a folder of the project whose names end so, as paths from the project's folder.
fn files_below(folder: &str, ending: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![root().join(folder)];
    while let Some(folder) = open.pop() {
        let entries = std::fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for entry in entries {
            let path = entry.expect("a folder can be read to its end").path();
            if path.is_dir() {
                open.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                let relative = path
                    .strip_prefix(root())
                    .expect("it lies below the project's folder");
                found.push(relative.to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}

/// Every page of documentation.
fn documents() -> Vec<String> {
    let mut pages = vec!["README.md".to_owned(), "CHANGELOG.md".to_owned()];
    pages.extend(files_below("docs", ".md"));
    pages.extend(files_below("runbooks", ".md"));
    pages
}
