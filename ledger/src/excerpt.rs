//! The beginning of a text from outside, short enough for an error message.

/// `text`, or its first 80 characters and an ellipsis.
pub(crate) fn excerpt(text: &str) -> String {
    const SHOWN_MAX: usize = 80;
    let mut shown: String = text.chars().take(SHOWN_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}
