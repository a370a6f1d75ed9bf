//! When each command is to be sent: as soon as there is room, or at its time, whatever became of the others.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, mpsc};

/// How many tickets may wait for whoever sends. Their times stand fixed: one that waits here is late, and counted so.
const WAITING_MAX: usize = 1_024;
/// The pacer does not sleep for less, so that a high rate does not cost a wake-up for each command: up to so much later
/// than it should be is a command of a burst sent.
const SLEEP_MIN: Duration = Duration::from_micros(500);

/// When the run began. All times are microseconds since then.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    begun: Instant,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self {
            begun: Instant::now(),
        }
    }

    pub(super) fn now(self) -> u64 {
        u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    pub(super) fn elapsed(self) -> Duration {
        self.begun.elapsed()
    }
}

/// The turn to send one command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) number: u64,
    /// When it is to be sent, or was to be.
    pub(super) at: u64,
}

/// The turns of a run, in order.
pub(super) enum Tickets {
    /// One after the other, without a pause.
    Free {
        clock: Clock,
        next: AtomicU64,
        /// How many there are at most.
        count_max: u64,
        /// There are none after this time.
        until: Duration,
    },
    /// Each at its time.
    Paced(Mutex<mpsc::Receiver<Ticket>>),
}

impl Tickets {
    /// As fast as they are taken, for so long.
    pub(super) fn free(clock: Clock, until: Duration) -> Self {
        Self::Free {
            clock,
            next: AtomicU64::new(0),
            count_max: u64::MAX,
            until,
        }
    }

    /// So many, as fast as they are taken.
    pub(super) fn counted(clock: Clock, count_max: u64) -> Self {
        Self::Free {
            clock,
            next: AtomicU64::new(0),
            count_max,
            until: Duration::MAX,
        }
    }

    /// So many a second, for so many seconds. A thread of its own hands them out: the timers of the runtime are not exact
    /// enough for the latency of a lone command.
    pub(super) fn paced(clock: Clock, rate: u32, seconds: u32) -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let count = u64::from(rate) * u64::from(seconds);
        thread::Builder::new()
            .name("pacer".to_owned())
            .spawn(move || {
                for number in 0..count {
                    let at = time_of(number, rate);
                    let early = at.saturating_sub(clock.now());
                    if early > 0 {
                        thread::sleep(Duration::from_micros(early).max(SLEEP_MIN));
                    }
                    if sender.blocking_send(Ticket { number, at }).is_err() {
                        // The run has ended before its time.
                        return;
                    }
                }
            })?;
        Ok(Self::Paced(Mutex::new(receiver)))
    }

    /// The next turn, when it has come.
    pub(super) async fn take(&self) -> Option<Ticket> {
        match self {
            Self::Free {
                clock,
                next,
                count_max,
                until,
            } => {
                if clock.elapsed() >= *until {
                    return None;
                }
                let number = next.fetch_add(1, Ordering::Relaxed);
                (number < *count_max).then(|| Ticket {
                    number,
                    at: clock.now(),
                })
            }
            Self::Paced(receiver) => receiver.lock().await.recv().await,
        }
    }
}

/// When the command with this number is to be sent.
fn time_of(number: u64, rate: u32) -> u64 {
    number.saturating_mul(1_000_000) / u64::from(rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_late_ticket_keeps_its_time() {
        let clock = Clock::start();
        let tickets = Tickets::paced(clock, 1_000, 1).unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        let mut taken = 0;
        while let Some(ticket) = tickets.take().await {
            assert_eq!(
                ticket,
                Ticket {
                    number: taken,
                    at: taken * 1_000
                }
            );
            assert!(clock.now() >= ticket.at, "never before its time");
            taken += 1;
        }
        assert_eq!(taken, 1_000);
        assert!(clock.elapsed() >= Duration::from_millis(999));
    }

    #[tokio::test]
    async fn free_tickets_end_with_their_number_or_their_time() {
        let counted = Tickets::counted(Clock::start(), 3);
        let mut numbers = Vec::new();
        while let Some(ticket) = counted.take().await {
            numbers.push(ticket.number);
        }
        assert_eq!(numbers, [0, 1, 2]);
        let timed = Tickets::free(Clock::start(), Duration::ZERO);
        assert_eq!(timed.take().await, None);
    }
}
