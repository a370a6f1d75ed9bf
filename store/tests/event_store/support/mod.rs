//! What the tests share.

pub(crate) mod batch;
pub(crate) mod book;
pub(crate) mod build;
pub(crate) mod clock;
pub(crate) mod crowd;
pub(crate) mod database;
pub(crate) mod lives;
pub(crate) mod outcomes;
pub(crate) mod proxy;
pub(crate) mod random;
