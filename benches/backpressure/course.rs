//! One phase after the other, and what was seen.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::commands::ACCOUNTS;
use crate::load::Load;
use crate::lost::{self, Lost};
use crate::options::Options;
use crate::phase::Phase;
use crate::probe::{Answers, Probe};
use crate::sample::Sample;
use crate::sampler::{Sampler, Seen};
use crate::stack::Stack;
use crate::verdicts::Verdicts;

/// The load that the ledger can hold, as a part of what it takes.
const BASELINE_PERCENT: u64 = 40;
/// How much faster commands are published when the event store is stopped, and at least how fast.
const BURST_TIMES: u64 = 4;
const BURST_MIN: u64 = 3_000;
/// As fast as it goes.
const NO_LIMIT: u64 = 1_000_000;
/// What the throttled line gets of the bytes that it needs.
const THROTTLED_BY: u64 = 20;
/// A read model that is no further behind than this is up to date, while commands keep coming.
const UP_TO_DATE_S: f64 = 1.0;
/// How long the warm-up may take.
const WARM_UP_MAX: Duration = Duration::from_mins(3);

/// Everything that was seen and counted.
pub(crate) struct Course {
    pub(crate) seen: Seen,
    /// When each phase began and ended, in seconds.
    pub(crate) spans: Vec<(Phase, f64, f64)>,
    /// Commands a second: what the ledger takes, the base line, and with the event store stopped.
    pub(crate) capacity: u64,
    pub(crate) rate: u64,
    pub(crate) burst: u64,
    /// Bytes a second that the throttled line needs, and gets.
    pub(crate) bytes_needed: u64,
    pub(crate) bytes_given: u64,
    /// How long each release took, in seconds.
    pub(crate) unthrottled_s: f64,
    pub(crate) read_model_s: f64,
    pub(crate) outcomes_s: f64,
    pub(crate) drain_s: f64,
    /// What the HTTP API said.
    pub(crate) answers: Answers,
    /// What the stream said when it did not say yes.
    pub(crate) texts: BTreeMap<String, u64>,
    pub(crate) lost: Lost,
}

impl Course {
    /// The samples of a phase.
    pub(crate) fn during(&self, phase: Phase) -> impl DoubleEndedIterator<Item = &Sample> + Clone {
        let samples = self.seen.samples.iter();
        samples.filter(move |sample| sample.phase == phase)
    }
}

/// Runs all of it.
pub(crate) async fn run(stack: &Stack, options: &Options) -> anyhow::Result<Course> {
    let verdicts = Arc::<Verdicts>::default();
    let began = Instant::now();
    let (phase, watched) = watch::channel(Phase::WarmUp);
    let mut director = Director {
        stack,
        load: Load::start(&stack.client, &verdicts).await?,
        sampler: Sampler::start(stack, options, began, watched.clone(), &verdicts),
        began,
        phase,
        spans: vec![(Phase::WarmUp, 0.0, 0.0)],
    };
    let capacity = director.warm_up(options).await?;
    let rate = options
        .rate
        .unwrap_or(capacity * BASELINE_PERCENT / 100)
        .max(1);
    let burst = (capacity * BURST_TIMES).max(BURST_MIN);
    let probe = Probe::start(&stack.main.address, watched, &verdicts);

    director.enter(Phase::Baseline);
    director.load.set_rate(rate);
    director.wait(options.settling()).await?;
    let (bytes, since) = (stack.proxy.forwarded(), Instant::now());
    director.wait(options.counting()).await?;
    let bytes = stack.proxy.forwarded().to_target - bytes.to_target;
    let bytes_needed = per_second(bytes, since.elapsed());

    let bytes_given = (bytes_needed / THROTTLED_BY).max(1);
    director.enter(Phase::Throttled);
    let throttle = NonZeroU64::new(bytes_given).unwrap_or(NonZeroU64::MIN);
    stack.proxy.throttle(throttle);
    director.wait(options.phase).await?;

    let max = options.drain_max();
    director.enter(Phase::Unthrottled);
    stack.proxy.heal();
    let unthrottled_s = director.until(max, is_up_to_date).await?;

    director.enter(Phase::ReadModelStopped);
    stack.read_models.stop().await;
    director.wait(options.stop()).await?;

    director.enter(Phase::ReadModelBack);
    stack.read_models.restart().await?;
    let read_model_s = director.until(max, is_up_to_date).await?;

    director.enter(Phase::EventStoreStopped);
    stack.event_store.stop().await;
    director.load.set_rate(burst);
    director.wait(options.stop()).await?;

    director.enter(Phase::Drain);
    director.load.set_rate(0);
    let answers = probe.stop().await?;
    director.until_at_rest().await?;
    stack.event_store.restart().await?;
    let since = Instant::now();
    director.until(max, |sample| sample.waiting == 0).await?;
    let outcomes_s = since.elapsed().as_secs_f64();
    director.until(max, Sample::is_done).await?;
    let drain_s = since.elapsed().as_secs_f64();
    director.end_phase();

    let probes = answers.values().sum();
    let lost = lost::count(stack, &director.load, probes, &verdicts).await?;
    Ok(Course {
        seen: director.sampler.seen(),
        spans: director.spans,
        capacity,
        rate,
        burst,
        bytes_needed,
        bytes_given,
        unthrottled_s,
        read_model_s,
        outcomes_s,
        drain_s,
        answers,
        texts: verdicts.texts(),
        lost,
    })
}

fn per_second(count: u64, time: Duration) -> u64 {
    let per_second = u128::from(count) * 1_000_000 / time.as_micros().max(1);
    u64::try_from(per_second).unwrap_or(u64::MAX)
}

fn is_up_to_date(sample: &Sample) -> bool {
    sample.lags.iter().all(|lag| lag.seconds <= UP_TO_DATE_S)
}

struct Director<'a> {
    stack: &'a Stack,
    load: Load,
    sampler: Sampler,
    began: Instant,
    phase: watch::Sender<Phase>,
    spans: Vec<(Phase, f64, f64)>,
}

impl Director<'_> {
    fn enter(&mut self, phase: Phase) {
        self.end_phase();
        let now = self.began.elapsed().as_secs_f64();
        eprintln!("{now:7.1} s  {}", phase.name());
        self.spans.push((phase, now, now));
        self.phase.send_replace(phase);
    }

    fn end_phase(&mut self) {
        let now = self.began.elapsed().as_secs_f64();
        if let Some((_, _, to)) = self.spans.last_mut() {
            *to = now;
        }
    }

    /// Opens the accounts, then finds out how many commands a second all of the ledger takes: from the first of as many
    /// as the stream can hold until the last read model has the last of them.
    async fn warm_up(&mut self, options: &Options) -> anyhow::Result<u64> {
        self.load.publish(ACCOUNTS, BURST_MIN);
        self.until_done().await?;
        let count = options.commands_waiting_max() * 4 / 5;
        let began = Instant::now();
        self.load.publish(count, NO_LIMIT);
        self.until_done().await?;
        Ok(per_second(count, began.elapsed()))
    }

    async fn until_done(&mut self) -> anyhow::Result<()> {
        self.until_at_rest().await?;
        self.until(WARM_UP_MAX, Sample::is_done).await?;
        Ok(())
    }

    /// Waits until every command that was published has its answer.
    async fn until_at_rest(&self) -> anyhow::Result<()> {
        let began = Instant::now();
        while !self.load.is_at_rest() {
            tokio::time::sleep(Duration::from_millis(50)).await;
            self.must_go_on(began, WARM_UP_MAX)?;
        }
        Ok(())
    }

    /// Lets the time pass.
    async fn wait(&self, duration: Duration) -> anyhow::Result<()> {
        tokio::time::sleep(duration).await;
        self.stack.must_run()
    }

    /// Waits until it is so; answers with how long that took, in seconds.
    async fn until(
        &mut self,
        max: Duration,
        is_so: impl Fn(&Sample) -> bool,
    ) -> anyhow::Result<f64> {
        let began = Instant::now();
        while !is_so(&self.sampler.next().await?) {
            self.must_go_on(began, max)?;
        }
        Ok(began.elapsed().as_secs_f64())
    }

    fn must_go_on(&self, began: Instant, max: Duration) -> anyhow::Result<()> {
        self.stack.must_run()?;
        if began.elapsed() > max {
            bail!("{} was not over after {max:?}", self.phase.borrow().name());
        }
        Ok(())
    }
}
