//! Everything has a limit: what can be seen of it are the streams and the intake's consumers.

use async_nats::jetstream::stream::DiscardPolicy;
use transport::Nats;
use transport::streams;

use super::intake::Partitions;
use super::report::{Invariant, Report, Violation};

/// Checks the limits of the three streams and of the consumers of `partitions`.
pub(super) async fn check(
    nats: &Nats,
    partitions: Option<&Partitions>,
    report: &mut Report,
) -> anyhow::Result<()> {
    let invariant = Invariant::Bounded;
    for (name, keeps_what_it_has) in [
        (streams::COMMANDS, true),
        (streams::EVENTS, false),
        (streams::DEAD_LETTERS, true),
    ] {
        let Some(stream) = streams::existing(&nats.jetstream, name).await? else {
            report.not_checked(
                invariant,
                format!("the stream {name} is not there yet; `chronicle run` makes it"),
            );
            continue;
        };
        let config = &stream.cached_info().config;
        report.checked(invariant, "streams", 1);
        if config.max_bytes <= 0 && config.max_messages <= 0 {
            let violation = Violation::new(format!(
                "{name} has no limit; set one: nats stream edit {name} --max-bytes=512MB"
            ));
            report.violated(
                invariant,
                violation.values("a number of messages or bytes", "none"),
            );
        }
        if keeps_what_it_has && config.discard != DiscardPolicy::New {
            let message = format!(
                "{name} drops its oldest messages when it is full, in place of refusing new ones; run: nats stream edit {name} \
                 --discard=new"
            );
            report.violated(
                invariant,
                Violation::new(message).values("discard new", "discard old"),
            );
        }
    }
    for (name, info) in partitions
        .iter()
        .flat_map(|partitions| partitions.consumers())
    {
        report.checked(invariant, "consumers", 1);
        if info.config.max_ack_pending <= 0 {
            let message = format!(
                "the consumer {name} has no limit of commands in flight; remove it while no intake runs (nats consumer rm {} \
                 {name}), and the intake makes it anew",
                streams::COMMANDS
            );
            let violation =
                Violation::new(message).values("1 or more", info.config.max_ack_pending);
            report.violated(invariant, violation);
        }
    }
    report.note(
        invariant,
        "what is bounded inside the processes cannot be seen from outside",
    );
    Ok(())
}
