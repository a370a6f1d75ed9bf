//! Running pipelines: being written.
