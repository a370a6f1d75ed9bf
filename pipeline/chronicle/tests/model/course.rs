//! The course of a run: command after command as the model goes along, and what must become of each.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use ledger::{Action, RejectionCode, Timestamp, Version};
use time::OffsetDateTime;

use crate::ask::{Amount, Ask, HOLDS, Step, Terms};
use crate::asking::{Table, ask, sent_again, terms};
use crate::combining::combined;
use crate::model::{Model, Refused, Rules};
use crate::random::Random;
use crate::wire::{command_of, fits_the_wire};

/// How many accounts are in use at a time. One that is closed, or has used up its holds, makes room for a new one.
const ACCOUNTS: usize = 300;
/// The model's clock: when the run began. Whatever the writer's shows, [`LONG_AGO`] is before and [`FAR_AWAY`] after; and
/// what is days away is days away for both.
static NOW: LazyLock<i64> =
    LazyLock::new(|| Timestamp::from_date_time(OffsetDateTime::now_utc()).unix_microseconds());
const DAY: i64 = 24 * 3_600 * 1_000_000;
/// How many days away business dates are, at the most: fewer than are allowed, however long the run.
const DAYS_MAX: i64 = 300;
/// A run with daily rules must end on the day on which it began: so many commands are answered in a second, at least, and
/// everything else takes so many seconds.
const COMMANDS_PER_SECOND_MIN: u64 = 100;
const BESIDES_SECONDS: u64 = 15 * 60;
/// In the year 2001.
const LONG_AGO: i64 = 1_000_000_000_000_000;
/// In the year 2096.
const FAR_AWAY: i64 = 4_000_000_000_000_000;
/// How many of the newest commands can be sent again: more than are ever in flight.
const RECENT: usize = 4_096;
/// How many of all others can.
const OLD: usize = 10_000;

/// What must become of a command that is the first with its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It makes these versions of these accounts, each by that command of a batch.
    Accepted(Vec<(usize, u64, Option<u32>)>),
    /// And which command of a batch, and which entry of a posting, is why.
    Rejected(RejectionCode, Refused),
}

/// One command to publish.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) step: Step,
    /// It stole the id of another.
    pub(crate) is_stolen: bool,
}

/// The model, and all that was asked.
pub(crate) struct Course {
    pub(crate) model: Model,
    pub(crate) tally: Tally,
    random: Random,
    /// Whether accounts can have daily rules: the model's clock stands still, and the writer's does not.
    has_days: bool,
    /// By id.
    fates: Vec<Fate>,
    in_use: Vec<usize>,
    accounts: usize,
    recent: Vec<Step>,
    old: Vec<Step>,
    timed: Vec<(usize, usize)>,
}

impl Course {
    /// A course of so many commands, or not many more.
    pub(crate) fn new(seed: u64, steps: u64) -> Self {
        let seconds = i64::try_from(steps / COMMANDS_PER_SECOND_MIN + BESIDES_SECONDS);
        let end = seconds.map_or(i64::MAX, |seconds| {
            NOW.saturating_add(seconds.saturating_mul(1_000_000))
        });
        Self {
            has_days: end / DAY == *NOW / DAY,
            model: Model::default(),
            tally: Tally::default(),
            random: Random::seeded(seed),
            fates: Vec::new(),
            in_use: (0..ACCOUNTS).collect(),
            accounts: ACCOUNTS,
            recent: Vec::new(),
            old: Vec::new(),
            timed: Vec::new(),
        }
    }

    /// How many numbers of accounts there are; not all need be open.
    pub(crate) fn accounts(&self) -> usize {
        self.accounts
    }

    /// What must become of each id.
    pub(crate) fn fates(&self) -> &[Fate] {
        &self.fates
    }

    pub(crate) fn fate(&self, id: u64) -> &Fate {
        &self.fates[usize::try_from(id).unwrap()]
    }

    /// A run that never reaches a case does not test it.
    pub(crate) fn check_nothing_was_missed(&self, every_code: bool) {
        // No command of these writes too much.
        let mut left_out = vec![RejectionCode::TooMuchWritten];
        if !self.has_days {
            left_out.push(RejectionCode::DailyAmountExceeded);
            left_out.push(RejectionCode::DailyCountExceeded);
        }
        self.tally.check_nothing_was_missed(every_code, &left_out);
    }

    /// How many holds the timer has ended.
    pub(crate) fn timed(&self) -> usize {
        self.timed.len()
    }

    /// The next command: something new, or something again.
    pub(crate) fn next(&mut self) -> Question {
        if !self.recent.is_empty() && self.random.chance(6) {
            return self.again();
        }
        loop {
            let table = self.table();
            let ask = match self.reversal() {
                Some(reversal) => reversal,
                None => self.combined(table),
            };
            let ask = far_away(&mut self.random, ask);
            let ask = if self.has_days {
                ask
            } else {
                without_days(ask)
            };
            let terms = terms(&mut self.random, &self.model, &ask, *NOW);
            let terms = terms_far_away(&mut self.random, terms);
            if let Some(question) = self.asked(ask, terms) {
                self.replace(table);
                return question;
            }
        }
    }

    /// A command of these accounts, or several at once.
    fn combined(&mut self, table: Table) -> Ask {
        let next = u64::try_from(self.fates.len()).unwrap();
        let combined = combined(&mut self.random, &self.model, table, *NOW, next);
        combined.unwrap_or_else(|| ask(&mut self.random, &self.model, table, *NOW))
    }

    /// Now and then: an earlier command moved back, mostly one that moved something and was asked not long ago.
    fn reversal(&mut self) -> Option<Ask> {
        if self.recent.is_empty() || !self.random.chance(12) {
            return None;
        }
        let from_old = !self.old.is_empty() && self.random.chance(10);
        let steps = if from_old { &self.old } else { &self.recent };
        // Any at all, if it must be; one that the model has moved something for, if there is one among so many.
        let tries = if self.random.chance(15) { 1 } else { 20 };
        let mut command = 0;
        for _ in 0..tries {
            command = self.random.pick(steps).id;
            let moved = self.model.moved.get(&command);
            if moved.is_some_and(|moved| moved.is_reversible() && moved.rest() > 0) {
                break;
            }
        }
        let moved = self.model.moved.get(&command);
        let account = match moved {
            Some(moved) if !self.random.chance(3) => moved.ask.account(),
            _ => *self.random.pick(&self.in_use),
        };
        let rest = moved.map_or(1, |moved| moved.rest().max(1));
        let scale = self.model.known(account).map_or(0, |book| book.exponent);
        let units = |digits| Some(Amount { digits, scale });
        let amount = match self.random.below(10) {
            0..=3 => None,
            4 => units(rest + 1),
            5 => units(rest),
            _ => units(1 + self.random.wide_below(rest)),
        };
        Some(Ask::Reverse {
            account,
            command,
            amount,
            reason: 1,
        })
    }

    /// A command that was asked not long ago, once more.
    pub(crate) fn resent(&mut self, id: u64) -> Question {
        let step = self
            .remembered(id)
            .expect("it is not that long ago")
            .clone();
        self.tally.sent_again += 1;
        Question {
            step,
            is_stolen: false,
        }
    }

    /// A command that was asked not long ago.
    pub(crate) fn remembered(&self, id: u64) -> Option<&Step> {
        let index = usize::try_from(id).unwrap() % RECENT;
        self.recent.get(index).filter(|step| step.id == id)
    }

    fn again(&mut self) -> Question {
        loop {
            let newest = (self.fates.len() - 1) % RECENT;
            let steps = match self.random.below(10) {
                0..=2 => &self.recent[newest..=newest],
                3..=5 => &self.recent,
                _ if self.old.is_empty() => &self.recent,
                _ => &self.old,
            };
            let step = sent_again(&mut self.random, steps, *NOW);
            let first = steps.iter().find(|first| first.id == step.id).unwrap();
            let is_stolen = first.ask != step.ask || first.terms != step.terms;
            if fits_the_wire(&step) {
                self.tally.sent_again += 1;
                if is_stolen {
                    self.tally.reject(RejectionCode::IdempotencyConflict);
                }
                return Question { step, is_stolen };
            }
        }
    }

    /// Lets the model decide; `None` when the command cannot be written down.
    fn asked(&mut self, ask: Ask, terms: Terms) -> Option<Question> {
        let step = Step {
            id: u64::try_from(self.fates.len()).unwrap(),
            ask,
            terms,
            now: *NOW,
        };
        if !fits_the_wire(&step) {
            return None;
        }
        let fate = match self.model.process_named(step.id, &step.ask, terms, *NOW) {
            Ok(lines) => {
                self.tally.accept(command_of(&step).type_name());
                let place = |line: &crate::model::Line| (line.account, line.version, line.part);
                Fate::Accepted(lines.iter().map(place).collect())
            }
            Err(code) => {
                self.tally.reject(code);
                Fate::Rejected(code, self.model.refused)
            }
        };
        self.remember(step.clone());
        self.fates.push(fate);
        Some(Question {
            step,
            is_stolen: false,
        })
    }

    fn remember(&mut self, step: Step) {
        if self.recent.len() < RECENT {
            self.recent.push(step);
            return;
        }
        let index = self.fates.len() % RECENT;
        let forgotten = std::mem::replace(&mut self.recent[index], step);
        if self.old.len() < OLD {
            self.old.push(forgotten);
        } else if self.random.chance(10) {
            let index = self.random.below(OLD);
            self.old[index] = forgotten;
        }
    }

    /// Four different accounts, mostly of one currency, now and then two of one and two of another, seldom one that is no longer in use.
    fn table(&mut self) -> Table {
        let mut table = [*self.random.pick(&self.in_use); 4];
        if self.random.chance(2) {
            table[0] = self.random.below(self.accounts);
        }
        let currency = self.model.known(table[0]).map(|book| book.currency);
        let has_two = self.random.chance(25);
        for place in 1..table.len() {
            let mut tries = if self.random.chance(90) { 12 } else { 1 };
            loop {
                let one = *self.random.pick(&self.in_use);
                let its_currency = self.model.known(one).map(|book| book.currency);
                tries -= 1;
                let fits_the_others = match place {
                    2 if has_two => its_currency != currency,
                    3 if has_two => {
                        let second = self.model.known(table[2]).map(|book| book.currency);
                        its_currency == second
                    }
                    _ => its_currency == currency,
                };
                let fits = tries <= 0 || its_currency.is_none() || fits_the_others;
                if fits && !table[..place].contains(&one) {
                    table[place] = one;
                    break;
                }
            }
        }
        table
    }

    /// Puts new accounts in the places of those that nothing much can happen to any more.
    fn replace(&mut self, table: Table) {
        for account in table {
            let Some(book) = self.model.known(account) else {
                continue;
            };
            let is_used_up = book.holds.iter().all(Option::is_some) && book.held() == 0;
            let percent = match (book.closed, is_used_up) {
                (true, _) => 10,
                (_, true) => 2,
                _ => 0,
            };
            if percent > 0
                && self.random.chance(percent)
                && let Some(place) = self.in_use.iter_mut().find(|one| **one == account)
            {
                *place = self.accounts;
                self.accounts += 1;
            }
        }
    }

    /// At most `count` holds that end at `end`, with something captured or released of some.
    pub(crate) fn timed_holds(&mut self, count: usize, end: i64) -> Vec<Question> {
        let mut questions = Vec::new();
        for account in self.in_use.clone() {
            let Some(book) = self.model.known(account).copied() else {
                continue;
            };
            let free = (0..HOLDS).find(|hold| book.holds[*hold].is_none());
            let available = book.balance + book.overdraft - book.held();
            let is_free = book.rules == Rules::default();
            let is_able = is_free && !book.debits_frozen && !book.closed && available >= 2;
            let (Some(hold), true, true) = (free, is_able, self.timed.len() < count) else {
                continue;
            };
            let amount = |digits| Amount {
                digits,
                scale: book.exponent,
            };
            let mut asks = vec![Ask::Hold {
                account,
                hold,
                amount: amount(2 + self.random.wide_below(available - 1)),
                currency: None,
                expires_at: Some(end),
            }];
            match self.random.below(3) {
                0 => asks.push(Ask::Capture {
                    account,
                    hold,
                    amount: Some(amount(1)),
                    is_final: false,
                    to: None,
                }),
                1 => asks.push(Ask::Release {
                    account,
                    hold,
                    amount: Some(amount(1)),
                }),
                _ => {}
            }
            asks.push(Ask::Expire { account, hold });
            for ask in asks {
                questions.extend(self.asked(ask, Terms::default()));
            }
            self.timed.push((account, hold));
        }
        assert!(!self.timed.is_empty(), "no account can have a hold");
        questions
    }

    /// The timer has ended them, for the model, too; and who asks now comes too late.
    pub(crate) fn timer_has_ended_all(&mut self, end: i64) -> Vec<Question> {
        let mut questions = Vec::new();
        for (account, hold) in self.timed.clone() {
            let ask = Ask::Expire { account, hold };
            let ended = self.model.process(&ask, Terms::default(), end);
            assert_eq!(ended.map(|lines| lines.len()), Ok(1));
            questions.extend(self.asked(ask, Terms::default()));
        }
        questions
    }
}

fn without_days(mut ask: Ask) -> Ask {
    match &mut ask {
        Ask::Rules { limits, .. } => {
            limits.daily_amount = None;
            limits.daily_count = None;
        }
        Ask::Batch { parts } => {
            for part in parts {
                part.ask = without_days(part.ask.clone());
            }
        }
        _ => {}
    }
    ask
}

fn far_away(random: &mut Random, mut ask: Ask) -> Ask {
    if let Ask::Hold {
        expires_at: Some(at),
        ..
    } = &mut ask
    {
        *at = if random.chance(8) { LONG_AGO } else { FAR_AWAY };
    }
    if let Ask::Batch { parts } = &mut ask {
        for part in parts {
            part.ask = far_away(random, part.ask.clone());
            part.terms = terms_far_away(random, part.terms);
        }
    }
    ask
}

fn terms_far_away(random: &mut Random, terms: Terms) -> Terms {
    let mut far = |instant: Option<i64>| instant.map(|_| *random.pick(&[LONG_AGO, FAR_AWAY]));
    Terms {
        expected_version: terms
            .expected_version
            .map(|version| version.min(Version::MAX.get())),
        not_before: far(terms.not_before),
        expires_at: far(terms.expires_at),
        effective_at: terms.effective_at.map(|_| business_date(random)),
        ..terms
    }
}

/// Within the window, whatever the writer's clock shows, or far outside.
fn business_date(random: &mut Random) -> i64 {
    match random.below(20) {
        0 => LONG_AGO,
        1 => FAR_AWAY,
        _ => *NOW + (2 + i64::from(random.byte())) * [DAY, -DAY][random.below(2)],
    }
}

/// Instants at which business dates and the time of recording agree for the model and the ledger: far from both.
pub(crate) fn dates() -> impl Iterator<Item = i64> {
    let noons = (-DAYS_MAX..DAYS_MAX)
        .step_by(37)
        .map(|day| *NOW + day * DAY + DAY / 2);
    noons.filter(|at| (at - *NOW).abs() > 2 * DAY)
}

/// What a run has met, by the model.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    accepted: BTreeMap<&'static str, u64>,
    rejected: BTreeMap<RejectionCode, u64>,
    sent_again: u64,
}

impl Tally {
    fn accept(&mut self, type_name: &'static str) {
        *self.accepted.entry(type_name).or_default() += 1;
    }

    fn reject(&mut self, code: RejectionCode) {
        *self.rejected.entry(code).or_default() += 1;
    }

    fn check_nothing_was_missed(&self, every_code: bool, left_out: &[RejectionCode]) {
        // Only the timer's succeed.
        let mut types = Action::TYPE_NAMES.into_iter();
        let missed = types.find(|name| *name != "expire_hold" && !self.accepted.contains_key(name));
        assert_eq!(missed, None, "never accepted");
        let mut codes = RejectionCode::ALL.into_iter();
        let missed =
            codes.find(|code| !left_out.contains(code) && !self.rejected.contains_key(code));
        assert!(
            missed.is_none() || !every_code,
            "never rejected as {missed:?}"
        );
        let (accepted, rejected): (u64, u64) =
            (self.accepted.values().sum(), self.rejected.values().sum());
        assert!(accepted * 2 > rejected, "most commands were refused");
        assert!(self.sent_again > 0);
    }
}
