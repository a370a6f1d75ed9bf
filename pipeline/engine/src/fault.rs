//! Fault points: places where a test can kill the process, to see what the next start makes of it.
//!
//! `CHRONICLE_FAULT=after_commit:3` kills the process (as `kill -9` would: no destructor, no flush) when it passes
//! the point `after_commit` for the third time. Exists in debug builds only; in release builds the calls are empty.

/// Passes the fault point `name`.
#[cfg(debug_assertions)]
pub fn point(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static PLAN: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static PASSED: AtomicU64 = AtomicU64::new(0);

    let plan = PLAN.get_or_init(|| {
        let text = std::env::var("CHRONICLE_FAULT").ok()?;
        let (point, count) = text.split_once(':').unwrap_or((text.as_str(), "1"));
        Some((point.to_owned(), count.parse().unwrap_or(1)))
    });
    if let Some((planned, count)) = plan
        && planned == name
        && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == *count
    {
        tracing::error!(
            fault = name,
            "fault point reached: the process kills itself"
        );
        // SIGABRT without unwinding: nothing is flushed, no destructor runs.
        std::process::abort();
    }
}

/// Passes the fault point `name`: nothing happens in a release build.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn point(_name: &str) {}
