//! What the processes of a run cost, from `/proc`: CPU time and memory. Where there is no `/proc`, nothing is known.

use std::collections::HashMap;
use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;

/// The unit of CPU times in `/proc`: USER_HZ, which is 100 on every architecture that this is built for.
const TICKS_PER_SECOND: f64 = 100.0;
/// How often the memory of a program of many processes is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A program that takes part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Program {
    pub(super) name: &'static str,
    /// The process that it began with.
    pub(super) pid: u32,
    /// Whether what it has started belongs to it. (The bench starts everything else.)
    pub(super) with_children: bool,
}

impl Program {
    /// A program with all that it starts.
    pub(super) fn of(name: &'static str, pid: u32) -> Self {
        Self {
            name,
            pid,
            with_children: true,
        }
    }

    /// This process, without what it has started.
    pub(super) fn itself(name: &'static str) -> Self {
        Self {
            name,
            pid: std::process::id(),
            with_children: false,
        }
    }

    fn children(&self) -> Vec<u32> {
        if self.with_children {
            descendants(self.pid)
        } else {
            Vec::new()
        }
    }
}

/// What one program has cost in a run.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cost {
    pub(super) name: &'static str,
    pub(super) cpu_seconds: f64,
    /// At the highest. Of a single process since it began; of one with children, what was seen of all of them in the run,
    /// memory that they share counted once.
    pub(super) peak_rss_mb: f64,
}

/// Programs that are being measured.
pub(super) struct Measurement {
    programs: Vec<Program>,
    cpu_before: Vec<Option<f64>>,
    /// The most that was seen of each, in kB.
    peaks: Arc<Mutex<Vec<u64>>>,
    _looking: AbortOnDropHandle<()>,
}

impl Measurement {
    pub(super) fn begin(programs: Vec<Program>) -> Self {
        let peaks = Arc::new(Mutex::new(vec![0; programs.len()]));
        let looking = tokio::spawn(look(programs.clone(), Arc::clone(&peaks)));
        Self {
            cpu_before: programs.iter().map(cpu_seconds).collect(),
            programs,
            peaks,
            _looking: AbortOnDropHandle::new(looking),
        }
    }

    /// What each of them has cost since the beginning; those that are unknown are left out.
    pub(super) fn end(self) -> Vec<Cost> {
        note(&self.programs, &self.peaks);
        let peaks = self.peaks.lock().unwrap_or_else(PoisonError::into_inner);
        let costs = self.programs.iter().zip(self.cpu_before).zip(peaks.iter());
        costs
            .filter_map(|((program, before), peak_kb)| {
                Some(Cost {
                    name: program.name,
                    cpu_seconds: (cpu_seconds(program)? - before?).max(0.0),
                    peak_rss_mb: *peak_kb as f64 / 1024.0,
                })
            })
            .collect()
    }
}

async fn look(programs: Vec<Program>, peaks: Arc<Mutex<Vec<u64>>>) {
    loop {
        note(&programs, &peaks);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn note(programs: &[Program], peaks: &Mutex<Vec<u64>>) {
    let seen: Vec<u64> = programs.iter().map(resident_kb).collect();
    let mut peaks = peaks.lock().unwrap_or_else(PoisonError::into_inner);
    for (peak, seen) in peaks.iter_mut().zip(seen) {
        *peak = seen.max(*peak);
    }
}

/// The CPU time of a program, of its processes that have ended, too.
fn cpu_seconds(program: &Program) -> Option<f64> {
    let own = ticks(program.pid, program.with_children)?;
    let children = program.children().into_iter();
    let children: u64 = children.filter_map(|pid| ticks(pid, true)).sum();
    Some((own + children) as f64 / TICKS_PER_SECOND)
}

/// What stands in the fields utime and stime (proc(5)); with the children that it has waited for: cutime and cstime, too.
fn ticks(pid: u32, with_children: bool) -> Option<u64> {
    let fields = stat(pid)?;
    // Behind the name in parentheses: the state is the third field, utime the fourteenth.
    let times = if with_children { 11..15 } else { 11..13 };
    fields
        .get(times)?
        .iter()
        .map(|it| it.parse::<u64>().ok())
        .sum()
}

/// The memory of a program, in kB. 0 when it is not known.
fn resident_kb(program: &Program) -> u64 {
    let children = program.children();
    if children.is_empty() {
        return status(program.pid, &["VmHWM:"])
            .first()
            .copied()
            .unwrap_or(0);
    }
    let (mut own, mut shared) = (0, 0);
    for pid in [vec![program.pid], children].concat() {
        // Files and shared memory are most often the same ones in all of them.
        if let [anonymous, file, shmem] = status(pid, &["RssAnon:", "RssFile:", "RssShmem:"])[..] {
            own += anonymous;
            shared = shared.max(file + shmem);
        }
    }
    own + shared
}

/// Values of `/proc/<pid>/status`, in kB.
fn status(pid: u32, names: &[&str]) -> Vec<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let value = |name: &&str| {
        let line = text.lines().find_map(|line| line.strip_prefix(*name))?;
        line.trim().trim_end_matches(" kB").parse().ok()
    };
    names.iter().filter_map(value).collect()
}

/// The fields of `/proc/<pid>/stat` behind the name.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // "pid (name) state parent …", and a name may hold anything.
    let (_, behind) = text.rsplit_once(')')?;
    Some(behind.split_whitespace().map(str::to_owned).collect())
}

/// All processes that `pid` has started, and theirs.
fn descendants(pid: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for (child, parent) in pids.filter_map(|it| Some((it, stat(it)?.get(1)?.parse().ok()?))) {
        children.entry(parent).or_default().push(child);
    }
    let mut found = Vec::new();
    let mut open = vec![pid];
    while let Some(parent) = open.pop() {
        let own = children.remove(&parent).unwrap_or_default();
        open.extend(&own);
        found.extend(own);
    }
    found
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_this_process_costs_is_measured() {
        let measurement = Measurement::begin(vec![Program::itself("this")]);
        let begun = std::time::Instant::now();
        let mut number = 1_u64;
        while begun.elapsed() < Duration::from_millis(300) {
            number = std::hint::black_box(number.wrapping_mul(3));
        }
        let costs = measurement.end();
        // The machine may be busy with something else.
        assert!((0.01..60.0).contains(&costs[0].cpu_seconds), "{costs:?}");
        assert!(costs[0].peak_rss_mb > 1.0, "{costs:?}");
    }

    #[test]
    fn a_process_that_is_gone_costs_nothing_that_is_known() {
        let gone = Program::of("gone", u32::MAX);
        assert_eq!(cpu_seconds(&gone), None);
        assert_eq!(resident_kb(&gone), 0);
    }
}
