//! How a run of a projection begins: rows of the right definition, the fence, what is to be skipped, and where to read on.

use std::cmp::Ordering;
use std::sync::Arc;

use engine::{Failure, Resume};
use futures::future::BoxFuture;
use transport::streams;

use super::offset::Fence;
use super::skips;
use super::{Definition, Projection, ProjectionSink};

/// Builds the rows of a new definition beside those of the older one, and swaps.
pub type Renew = Arc<dyn Fn() -> BoxFuture<'static, Result<(), Failure>> + Send + Sync>;

impl<P: Projection> ProjectionSink<P> {
    /// Takes the fence, once the rows are of this program's definition, and says where to read on.
    pub(super) async fn take_over(&mut self) -> Result<Resume, Failure> {
        let stream_id = self.stream_id().await?;
        self.be_of_this_definition().await?;
        let definition = Definition::of::<P>();
        let (fence, resume) = Fence::take(&self.pool, definition, &stream_id).await?;
        self.skips = skips::skips(&self.pool, P::NAME, &stream_id).await?;
        self.fence = Some(fence);
        if resume.position == 0 {
            // A new projection, or one that goes on with a new feed: the event store may be older than the feed.
            self.compare_all().await?;
        }
        Ok(resume)
    }

    /// Which life of the feed there is now.
    pub(super) async fn stream_id(&self) -> Result<String, Failure> {
        self.nats.ready().await?;
        let stream = streams::events(&self.nats.jetstream, &self.limits).await?;
        Ok(streams::identity(&stream))
    }

    /// Makes sure that the rows are of this program's definition.
    async fn be_of_this_definition(&self) -> Result<(), Failure> {
        let sql =
            "SELECT definition FROM projection_offsets WHERE projection = $1 AND paused_at IS NULL";
        let known: Option<i32> = sqlx::query_scalar(sql)
            .bind(P::NAME)
            .fetch_optional(&self.pool)
            .await
            .map_err(Self::read_failed)?;
        let Some(known) = known else {
            return Ok(());
        };
        let (name, own) = (P::NAME, P::DEFINITION);
        match known.cmp(&own) {
            Ordering::Equal => Ok(()),
            Ordering::Greater => Err(Failure::fatal(format!(
                "the rows of projection {name} are of definition {known}, made by a newer program, and this one makes {own}: \
                 run the newer one, or go back with it to the rows from before (chronicle projection rollback {name})"
            ))),
            Ordering::Less => match &self.renew {
                Some(renew) => {
                    tracing::info!(
                        projection = name,
                        "the rows are of definition {known}, and this program makes {own}: building them beside the old ones"
                    );
                    renew().await
                }
                None => Err(Failure::fatal(format!(
                    "the rows of projection {name} are of definition {known}, and this program makes {own}. To build new ones \
                     beside them and swap, run: chronicle projection rebuild {name}; or start with --on-new-definition rebuild"
                ))),
            },
        }
    }
}
