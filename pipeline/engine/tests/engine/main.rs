//! Whole pipelines in memory, with a paused clock: one topic a file.

#[cfg(test)]
mod backpressure;
#[cfg(test)]
mod dead_letters;
#[cfg(test)]
mod description;
#[cfg(test)]
mod failures;
#[cfg(test)]
mod flow;
#[cfg(test)]
mod operators;
#[cfg(test)]
mod random_failures;
#[cfg(test)]
mod shutdown;
#[cfg(test)]
mod sink_contract;
#[cfg(test)]
mod sinks;
#[cfg(test)]
mod source_contract;
#[cfg(test)]
mod supervision;
