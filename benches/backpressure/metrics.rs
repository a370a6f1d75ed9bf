//! Reads what `/metrics` says: lines like `name{label="value"} 1`.

/// One value with its labels.
#[derive(Debug, PartialEq)]
pub(crate) struct Line<'a> {
    name: &'a str,
    labels: &'a str,
    value: f64,
}

impl<'a> Line<'a> {
    /// The value of something that is counted.
    // Counts are whole, not negative, and far below 2^53.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub(crate) fn count(&self) -> u64 {
        self.value as u64
    }

    /// The value of a label. (None of those that are asked for has a quote in it.)
    pub(crate) fn label(&self, name: &str) -> Option<&'a str> {
        self.labels.split(',').find_map(|label| {
            let (found, value) = label.split_once('=')?;
            (found == name).then(|| value.trim_matches('"'))
        })
    }
}

/// The lines of one metric.
pub(crate) fn of<'a>(page: &'a str, name: &'a str) -> impl Iterator<Item = Line<'a>> + use<'a> {
    page.lines()
        .filter_map(line)
        .filter(move |line| line.name == name)
}

fn line(text: &str) -> Option<Line<'_>> {
    if text.starts_with('#') {
        return None;
    }
    let (what, value) = text.rsplit_once(' ')?;
    let (name, labels) = what.split_once('{').unwrap_or((what, "}"));
    Some(Line {
        name,
        labels: labels.strip_suffix('}')?,
        value: value.parse().ok()?,
    })
}
