//! One applier per projection: what can be seen of it are the offsets.

use anyhow::Context;
use sqlx::Row;
use sqlx::postgres::PgPool;
use transport::stored::StoredMessages;
use transport::{Nats, headers, streams, subjects};
use uuid::Uuid;

use super::read_models::FeedState;
use super::report::{Invariant, Report, Violation};

/// Where a projection stands.
struct Offset {
    projection: String,
    stream_id: String,
    epoch: i64,
    last_sequence: i64,
    last_event_id: Option<Uuid>,
}

/// Compares the offsets with the feed.
pub(super) async fn check(pool: &PgPool, nats: &Nats, report: &mut Report) -> anyhow::Result<()> {
    let invariant = Invariant::SingleApplier;
    // First the offsets, then the feed: an offset never lies beyond a feed that is looked at later.
    let offsets = offsets(pool).await?;
    let feed = FeedState::look(nats).await?;
    for name in sinks::projection::NAMES {
        match offsets
            .iter()
            .filter(|offset| offset.projection == name)
            .count()
        {
            0 => report.note(invariant, format!("{name} has never run")),
            1 => {}
            count => report.violated(
                invariant,
                Violation::new("it has several offsets")
                    .of(name)
                    .values(1, count),
            ),
        }
    }
    for offset in &offsets {
        let violation = |message: String| Violation::new(message).of(&offset.projection);
        if offset.epoch < 1 {
            let message = "its epoch was never raised, so a second copy is not fenced".to_owned();
            report.violated(
                invariant,
                violation(message).values("1 or more", offset.epoch),
            );
        }
        let Some(feed) = &feed else {
            let message = format!(
                "it has read a feed, and {} is not there: start `chronicle run`, which makes it anew, then run: chronicle \
                 projection adopt-stream {}",
                streams::EVENTS,
                offset.projection
            );
            report.violated(invariant, violation(message));
            continue;
        };
        if offset.stream_id != feed.stream_id {
            let message = format!(
                "it has read another feed, which was lost and made anew; run: chronicle projection adopt-stream {}",
                offset.projection
            );
            report.violated(
                invariant,
                violation(message).values(&feed.stream_id, &offset.stream_id),
            );
        } else if offset.last_sequence.unsigned_abs() > feed.last_sequence {
            let message = format!(
                "its offset lies beyond the end of the feed, whose end was lost; restart it (chronicle run --only \
                 projection.{}), and it makes up for what is missing from the event store",
                offset.projection
            );
            let expected = format!("at most {}", feed.last_sequence);
            report.violated(
                invariant,
                violation(message).values(expected, offset.last_sequence),
            );
        } else if let Some(found) = other_event(nats, feed, offset).await? {
            let message = format!(
                "sequence {} of the feed is not the event that it applied last: the feed was rewound and written anew; \
                 restart it (chronicle run --only projection.{}), and it makes up for what is missing from the event store",
                offset.last_sequence, offset.projection
            );
            let expected = offset.last_event_id.unwrap_or_default();
            report.violated(invariant, violation(message).values(expected, found));
        }
    }
    report.checked(invariant, "projections", offsets.len() as u64);
    report.note(
        invariant,
        "that only the newest epoch can commit is proved by the sink contract's tests",
    );
    Ok(())
}

async fn offsets(pool: &PgPool) -> anyhow::Result<Vec<Offset>> {
    let rows = sqlx::query(
        "SELECT projection, stream_id, epoch, last_sequence, last_event_id FROM projection_offsets ORDER BY projection",
    )
    .fetch_all(pool)
    .await
    .context("the read model cannot be read")?;
    let offset = |row: &sqlx::postgres::PgRow| {
        Ok(Offset {
            projection: row.try_get("projection")?,
            stream_id: row.try_get("stream_id")?,
            epoch: row.try_get("epoch")?,
            last_sequence: row.try_get("last_sequence")?,
            last_event_id: row.try_get("last_event_id")?,
        })
    };
    rows.iter().map(offset).collect()
}

/// The event that stands in the feed where the projection applied another one last, if that can still be seen.
async fn other_event(
    nats: &Nats,
    feed: &FeedState,
    offset: &Offset,
) -> anyhow::Result<Option<String>> {
    let sequence = offset.last_sequence.unsigned_abs();
    let Some(applied) = offset
        .last_event_id
        .filter(|_| sequence >= feed.first_sequence)
    else {
        return Ok(None);
    };
    let filter = format!("{}.*", subjects::EVENTS);
    let stored = StoredMessages::new(nats.jetstream.clone(), streams::EVENTS, &filter, 1);
    // None: purged in the meantime.
    let Some(found) = stored.at(sequence).await? else {
        return Ok(None);
    };
    let id = found.message.header(headers::MESSAGE_ID);
    let id = id.unwrap_or("no event").to_owned();
    Ok((id != applied.to_string()).then_some(id))
}
