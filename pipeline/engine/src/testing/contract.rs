//! What every source and every sink has to keep, as tests that any crate can run against its own.
//!
//! Owns the questions; the component's own tests bring the servers and say how its effect is read. Each function
//! panics with the rule that was broken. A component is ready when [`sink::all`] or [`source::all`] passes.

pub mod sink;
pub mod source;
