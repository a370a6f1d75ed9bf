//! The page: what was seen in each phase, what is claimed, and on what machine.

use std::fmt::Write as _;

use benches::machine::Machine;

use crate::claims::{Claim, greatest, memory_max, per_second};
use crate::course::Course;
use crate::options::Options;
use crate::sample::{PROGRAMS, Sample};
use crate::stack::Programs;

/// Everything that the page is made of.
pub(crate) struct Report<'a> {
    pub(crate) machine: &'a Machine,
    pub(crate) options: &'a Options,
    pub(crate) programs: &'a Programs,
    pub(crate) course: &'a Course,
    pub(crate) claims: &'a [Claim],
}

impl Report<'_> {
    /// As Markdown.
    pub(crate) fn page(&self) -> String {
        [
            format!("# Backpressure\n\n`{}`\n", self.options.command()),
            self.place(),
            self.how(),
            "![Rates, backlog, lag and memory over time](backpressure.svg)\n".to_owned(),
            self.phases(),
            self.releases(),
            self.list_of_claims(),
        ]
        .join("\n")
    }

    fn place(&self) -> String {
        let rows = benches::machine_rows(
            self.machine,
            &[
                ":/benches/backpressure",
                ":/ledger",
                ":/store",
                ":/sources",
                ":/operators",
                ":/sinks",
                ":/pipeline",
            ],
        );
        let Programs {
            nats_server,
            event_store,
            read_models,
        } = self.programs;
        format!(
            "{rows}| event store | {event_store} |\n| read models | {read_models}, another server |\n| NATS | nats-server \
             {nats_server} |\n| everything | on this machine: servers, both `chronicle run`, publisher |\n"
        )
    }

    fn how(&self) -> String {
        let Course {
            capacity,
            rate,
            burst,
            bytes_needed,
            bytes_given,
            ..
        } = self.course;
        let options = self.options;
        format!(
            "Limits: `--commands-waiting-max {}`, `--credit {}`, `--batch-max {}`. The ledger takes {capacity} commands a \
             second here (transfers, one in ten a deposit); the load is {rate}, and {burst} while the event store is \
             stopped. The line of `transactions` carries {bytes_needed} bytes a second under that load, and is given \
             {bytes_given}. How it is measured: [performance](../../docs/performance.md#backpressure).\n",
            options.commands_waiting_max(),
            options.credit(),
            options.batch_max(),
        )
    }

    fn phases(&self) -> String {
        let mut table = "| phase | s | taken /s | refused /s | outcomes /s | waiting, max | `transactions` behind, max | \
                         others behind, max | in flight, max: intake, `transactions` |\n|---|---|---|---|---|---|---|---|---|\n"
            .to_owned();
        let course = self.course;
        for (phase, from, to) in &course.spans {
            let phase = *phase;
            let most = |of: fn(&Sample) -> f64| greatest(course, phase, of);
            let _ = writeln!(
                table,
                "| {} | {:.1} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} events, {:.1} s | {:.1} s | {:.0}, {:.0} |",
                phase.name(),
                to - from,
                per_second(course, phase, |it| it.taken),
                per_second(course, phase, |it| it.refused),
                per_second(course, phase, |it| it.outcomes),
                most(|it| it.waiting as f64),
                most(|it| it.throttled_lag().events as f64),
                most(|it| it.throttled_lag().seconds),
                most(|it| it.others_lag().seconds),
                most(|it| it.in_flight[0] as f64),
                most(|it| it.in_flight[1] as f64),
            );
        }
        let _ = writeln!(
            table,
            "\nResident memory at the most, in MiB (of PostgreSQL all its processes, what they share counted once):\n\n\
             | phase | {} |\n|---|---|---|---|---|---|",
            PROGRAMS.join(" | ")
        );
        for (phase, _, _) in &course.spans {
            let cells = [0, 1, 2, 3, 4]
                .map(|program| format!("{:.1}", memory_max(course, *phase, program)));
            let _ = writeln!(table, "| {} | {} |", phase.name(), cells.join(" | "));
        }
        table
    }

    fn releases(&self) -> String {
        let Course {
            unthrottled_s,
            read_model_s,
            outcomes_s,
            drain_s,
            ..
        } = self.course;
        format!(
            "| released | until | s |\n|---|---|---|\n\
             | the throttle, load going on | `transactions` is at most 1 s behind | {unthrottled_s:.1} |\n\
             | the read models' PostgreSQL answers, load going on | all are at most 1 s behind | {read_model_s:.1} |\n\
             | the event store answers, no load | the last command has its outcome | {outcomes_s:.1} |\n\
             | | the last read model has its events | {drain_s:.1} |\n"
        )
    }

    fn list_of_claims(&self) -> String {
        let mut table = "| claim | figure | holds |\n|---|---|---|\n".to_owned();
        for Claim {
            what,
            figure,
            holds,
        } in self.claims
        {
            let holds = if *holds { "yes" } else { "**no**" };
            let figure = figure.replace('\n', " ");
            let _ = writeln!(table, "| {what} | {figure} | {holds} |");
        }
        table
    }
}
