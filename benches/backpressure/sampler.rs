//! Looks at everything, four times a second, whatever is away.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, timeout};
use tokio_util::task::AbortOnDropHandle;
use transport::streams;

use crate::options::Options;
use crate::phase::Phase;
use crate::sample::{Lag, Sample};
use crate::stack::{OTHERS, Stack, THROTTLED};
use crate::verdicts::Verdicts;
use crate::{http, memory, metrics};

const EVERY: Duration = Duration::from_millis(250);
/// What does not answer so fast is as it was before.
const LOOK_WITHIN: Duration = Duration::from_millis(200);

/// All samples so far, and what went past a limit.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) samples: Vec<Sample>,
    /// How many queues and pipelines were compared with their limits.
    pub(crate) compared: u64,
    /// Those that were past one.
    pub(crate) past_limits: Vec<String>,
}

/// Looks until it is dropped.
pub(crate) struct Sampler {
    seen: Arc<Mutex<Seen>>,
    looked: watch::Receiver<u64>,
    _task: AbortOnDropHandle<()>,
}

impl Sampler {
    pub(crate) fn start(
        stack: &Stack,
        options: &Options,
        began: Instant,
        phase: watch::Receiver<Phase>,
        verdicts: &Arc<Verdicts>,
    ) -> Self {
        let seen = Arc::<Mutex<Seen>>::default();
        let (look, looked) = watch::channel(0);
        let eye = Eye {
            nats: stack.client.clone(),
            read_models: stack.read_model_pool.clone(),
            addresses: [&stack.main, &stack.throttled].map(|process| process.address.clone()),
            pids: [stack.main.pid(), stack.throttled.pid(), stack.nats.pid()],
            databases: [stack.event_store.folder(), stack.read_models.folder()]
                .map(|folder| folder.join("server.pid")),
            limits: Limits::of(options),
            began,
            phase,
            verdicts: Arc::clone(verdicts),
            heads: Vec::new(),
            offsets: HashMap::new(),
            last: None,
        };
        Self {
            _task: AbortOnDropHandle::new(tokio::spawn(eye.watch(Arc::clone(&seen), look))),
            seen,
            looked,
        }
    }

    /// A look that begins after this call.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Sample> {
        // One that is under way may have seen what was before.
        for _ in 0..2 {
            self.looked.mark_unchanged();
            self.looked.changed().await?;
        }
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let last = seen.samples.last().cloned();
        last.ok_or_else(|| anyhow::anyhow!("nothing was seen"))
    }

    /// Everything that was seen.
    pub(crate) fn seen(self) -> Seen {
        std::mem::take(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What must not be passed.
struct Limits {
    /// Of intake.
    credit: u64,
    /// Of a projection's pipeline: as many batches as there are stages and places in its queues.
    in_flight: u64,
}

impl Limits {
    fn of(options: &Options) -> Self {
        // The source, `decode` and the read model; each has a batch at work and two in its queue (engine::Topology).
        const BATCHES: u64 = 3 * 3;
        Self {
            credit: options.credit(),
            in_flight: BATCHES * options.batch_max(),
        }
    }
}

struct Eye {
    nats: transport::Nats,
    read_models: sqlx::PgPool,
    /// Of the process with intake, and of the throttled one.
    addresses: [String; 2],
    pids: [u32; 3],
    /// The files that say which process the databases are now.
    databases: [std::path::PathBuf; 2],
    limits: Limits,
    began: Instant,
    phase: watch::Receiver<Phase>,
    verdicts: Arc<Verdicts>,
    /// When the feed had which last sequence.
    heads: Vec<(f64, u64)>,
    /// What each read model has applied, as far as is known.
    offsets: HashMap<String, u64>,
    last: Option<Sample>,
}

impl Eye {
    async fn watch(mut self, seen: Arc<Mutex<Seen>>, look: watch::Sender<u64>) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            let pages = [self.page(0).await, self.page(1).await];
            let sample = self.look(&pages).await;
            self.last = Some(sample.clone());
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            for page in &pages {
                self.compare(page, &mut seen);
            }
            seen.samples.push(sample);
            drop(seen);
            look.send_modify(|looks| *looks += 1);
        }
    }

    /// What a process says of itself. Empty when it does not answer in time.
    async fn page(&self, process: usize) -> String {
        let asked = http::get(&self.addresses[process], "/metrics");
        match timeout(LOOK_WITHIN, asked).await {
            Ok(Ok(answer)) => answer.body,
            _ => String::new(),
        }
    }

    async fn look(&mut self, pages: &[String; 2]) -> Sample {
        let at = self.began.elapsed().as_secs_f64();
        // Offsets first: then no lag is too small.
        self.look_at_offsets().await;
        let waiting = self.messages(streams::COMMANDS).await.map(|it| it.0);
        if let Some((_, head)) = self.messages(streams::EVENTS).await {
            self.heads.push((at, head));
        }
        let before = self.last.as_ref();
        let outcomes = outcomes(&pages[0]);
        Sample {
            at,
            phase: *self.phase.borrow(),
            taken: self.verdicts.taken(),
            refused: self.verdicts.refused.load(Ordering::Relaxed),
            outcomes: outcomes.or(before.map(|it| it.outcomes)).unwrap_or(0),
            waiting: waiting.or(before.map(|it| it.waiting)).unwrap_or(0),
            lags: std::array::from_fn(|index| {
                let name = index
                    .checked_sub(1)
                    .map_or(THROTTLED, |other| OTHERS[other]);
                self.lag(name, at)
            }),
            memory_kib: self.memory_kib(),
            in_flight: [
                in_flight(&pages[0], "intake"),
                in_flight(&pages[1], &format!("projection.{THROTTLED}")),
            ],
            throttled_is_full: queues(&pages[1]).any(|queue| queue.holds >= queue.can_hold),
        }
    }

    /// While the database is away, what is applied cannot change.
    async fn look_at_offsets(&mut self) {
        let asked = sqlx::query_as("SELECT projection, last_sequence FROM projection_offsets")
            .fetch_all(&self.read_models);
        let found: Vec<(String, i64)> = match timeout(LOOK_WITHIN, asked).await {
            Ok(Ok(found)) => found,
            _ => return,
        };
        let found = found
            .into_iter()
            .map(|(name, offset)| (name, u64::try_from(offset).unwrap_or(0)));
        self.offsets.extend(found);
    }

    /// How many messages a stream has, and the last sequence.
    async fn messages(&self, stream: &str) -> Option<(u64, u64)> {
        let asked = self.nats.jetstream.get_stream(stream);
        let stream = timeout(LOOK_WITHIN, asked).await.ok()?.ok()?;
        let state = &stream.cached_info().state;
        Some((state.messages, state.last_sequence))
    }

    fn lag(&self, projection: &str, at: f64) -> Lag {
        let offset = self.offsets.get(projection).copied().unwrap_or(0);
        let head = self.heads.last().map_or(0, |(_, head)| *head);
        let first = self.heads.partition_point(|(_, head)| *head <= offset);
        Lag {
            events: head.saturating_sub(offset),
            seconds: self.heads.get(first).map_or(0.0, |(since, _)| at - since),
        }
    }

    fn memory_kib(&self) -> [u64; 5] {
        let [main, throttled, nats] = self.pids.map(memory::of_process);
        let [event_store, read_models] = [0, 1].map(|database: usize| {
            let pid = std::fs::read_to_string(&self.databases[database]);
            let pid = pid
                .ok()
                .and_then(|text| text.split_whitespace().next()?.parse().ok());
            pid.map_or(0, memory::with_children)
        });
        [main, throttled, nats, event_store, read_models]
    }

    /// Notes what is past its limit.
    fn compare(&self, page: &str, seen: &mut Seen) {
        let mut past = Vec::new();
        for queue in queues(page) {
            seen.compared += 1;
            if queue.holds > queue.can_hold {
                past.push(format!(
                    "{} {}: {} batches of {}",
                    queue.pipeline, queue.node, queue.holds, queue.can_hold
                ));
            }
        }
        for line in metrics::of(page, "chronicle_pipeline_in_flight_records") {
            let pipeline = line.label("pipeline").unwrap_or_default();
            let most = match pipeline {
                "intake" => self.limits.credit,
                _ => self.limits.in_flight,
            };
            seen.compared += 1;
            if line.count() > most {
                past.push(format!("{pipeline}: {} in flight of {most}", line.count()));
            }
        }
        seen.past_limits.extend(past);
    }
}

struct Queue<'a> {
    pipeline: &'a str,
    node: &'a str,
    holds: u64,
    can_hold: u64,
}

/// The queues of a process, with what they can hold.
fn queues(page: &str) -> impl Iterator<Item = Queue<'_>> {
    metrics::of(page, "chronicle_node_queue_batches").filter_map(|line| {
        let (pipeline, node) = (line.label("pipeline")?, line.label("node")?);
        let mut limits = metrics::of(page, "chronicle_node_queue_max_batches");
        let limit = limits.find(|limit| {
            limit.label("pipeline") == Some(pipeline) && limit.label("node") == Some(node)
        })?;
        Some(Queue {
            pipeline,
            node,
            holds: line.count(),
            can_hold: limit.count(),
        })
    })
}

fn in_flight(page: &str, pipeline: &str) -> u64 {
    let mut lines = metrics::of(page, "chronicle_pipeline_in_flight_records");
    let line = lines.find(|line| line.label("pipeline") == Some(pipeline));
    line.map_or(0, |line| line.count())
}

/// Outcomes that were committed; `None` if the process has not answered.
fn outcomes(page: &str) -> Option<u64> {
    let lines = metrics::of(page, "chronicle_commands_total");
    let counted =
        lines.filter(|line| matches!(line.label("outcome"), Some("accepted" | "rejected")));
    let total = counted.map(|line| line.count()).sum();
    (!page.is_empty()).then_some(total)
}
