//! What became of every command, by the event store's own tables, next to what its publisher was told.

use futures::TryStreamExt;
use uuid::Uuid;

use crate::commands;
use crate::load::Load;
use crate::stack::Stack;
use crate::verdicts::{Verdict, Verdicts};

/// The count.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lost {
    /// Commands that the stream has taken.
    pub(crate) taken: u64,
    /// Those of them without an outcome.
    pub(crate) without_outcome: u64,
    /// Commands that the stream has refused.
    pub(crate) refused: u64,
    /// Those of them with an outcome all the same.
    pub(crate) refused_with_outcome: u64,
    /// Commands of which the publisher was told nothing.
    pub(crate) unknown: u64,
    /// Those of them with an outcome.
    pub(crate) unknown_with_outcome: u64,
    /// Outcomes in the event store.
    pub(crate) outcomes: u64,
    /// More than one of the same command.
    pub(crate) twice: u64,
    /// Outcomes that are refusals: none of these commands gives reason for one.
    pub(crate) rejected: u64,
    /// Of commands that nobody has sent.
    pub(crate) strangers: u64,
    /// What the accepted commands add up to, and the balances of the read model.
    pub(crate) units_expected: u64,
    pub(crate) units_found: String,
    /// What `chronicle verify` said: its exit code and, if that is not 0, its words.
    pub(crate) verify_code: Option<i32>,
    pub(crate) verify_text: String,
}

/// Compares all of it.
pub(crate) async fn count(
    stack: &Stack,
    load: &Load,
    probes: u64,
    verdicts: &Verdicts,
) -> anyhow::Result<Lost> {
    let mut lost = Lost::default();
    let through_nats = load.published();
    let mut has_outcome = [
        vec![false; usize::try_from(through_nats)?],
        vec![false; usize::try_from(probes)?],
    ];
    let mut found = sqlx::query_as::<_, (Uuid, bool)>(
        "SELECT command_id, outcome->>'status' = 'accepted' FROM commands",
    )
    .fetch(&stack.event_store_pool);
    while let Some((command_id, is_accepted)) = found.try_next().await? {
        lost.outcomes += 1;
        lost.rejected += u64::from(!is_accepted);
        let number = commands::number(command_id);
        let place = number.and_then(|number| {
            let through_http = number.checked_sub(commands::THROUGH_HTTP);
            let way = usize::from(through_http.is_some());
            let index = usize::try_from(through_http.unwrap_or(number)).ok()?;
            has_outcome[way].get_mut(index)
        });
        match (number, place) {
            (Some(number), Some(place)) => {
                lost.twice += u64::from(*place);
                *place = true;
                lost.units_expected += u64::from(is_accepted) * commands::units_added(number);
            }
            _ => lost.strangers += 1,
        }
    }
    let [nats, http] = has_outcome;
    let nats = (0..).zip(nats);
    let http = (commands::THROUGH_HTTP..).zip(http);
    for (number, has_outcome) in nats.chain(http) {
        match (verdicts.of(number), has_outcome) {
            (Verdict::Taken, has) => {
                lost.taken += 1;
                lost.without_outcome += u64::from(!has);
            }
            (Verdict::Refused, has) => {
                lost.refused += 1;
                lost.refused_with_outcome += u64::from(has);
            }
            (Verdict::Unknown, has) => {
                lost.unknown += 1;
                lost.unknown_with_outcome += u64::from(has);
            }
        }
    }
    lost.units_found =
        sqlx::query_scalar("SELECT trim_scale(sum(balance))::text FROM account_balance")
            .fetch_one(&stack.read_model_pool)
            .await?;
    let verified = stack.chronicle(&["verify"]).await?;
    lost.verify_code = verified.status.code();
    if !verified.status.success() {
        let texts = [verified.stdout, verified.stderr].concat();
        lost.verify_text = String::from_utf8_lossy(&texts).into_owned();
    }
    Ok(lost)
}
