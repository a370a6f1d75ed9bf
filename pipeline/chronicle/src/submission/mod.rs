//! Publishing commands, and hearing what became of them: what `chronicle send` and the HTTP API have in common.

pub(crate) mod answer;
pub(crate) mod lookup;
pub(crate) mod publishing;
pub(crate) mod submitter;
