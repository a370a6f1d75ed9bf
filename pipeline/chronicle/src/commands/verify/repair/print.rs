//! A repair in words.

use super::{Item, Repair};
use crate::commands::verify::damages::Extent;
use crate::output;

/// How many lines are printed; the rest is counted.
const LINES_MAX: usize = 50;

impl Repair {
    /// What would be made anew.
    pub(in crate::commands::verify) fn print_plan(&self) -> anyhow::Result<()> {
        if let Some(reason) = &self.refused {
            return output::line(format_args!(
                "\nnothing may be repaired from the event store: {reason}"
            ));
        }
        if self.items.is_empty() {
            return output::line("\nthere are no rows to be repaired");
        }
        output::line("\nto be made anew from the event store:")?;
        self.lines(|item| match &item.why {
            Some(why) => format!("{}: cannot be: {why}", what(item)),
            None => format!("{}: {}", what(item), item.first.message),
        })
    }

    /// What became of it.
    pub(in crate::commands::verify) fn print_done(&self) -> anyhow::Result<()> {
        let mended = self.items.iter().filter(|item| item.mended == Some(true));
        output::line(format_args!(
            "\nmade anew: {} of {}",
            mended.count(),
            self.items.len()
        ))?;
        self.lines(|item| match &item.why {
            Some(why) => format!("{}: NOT mended: {why}", what(item)),
            None => format!("{}: mended, from {} events", what(item), item.events),
        })?;
        output::line("\nand compared again:")
    }

    fn lines(&self, line: impl Fn(&Item) -> String) -> anyhow::Result<()> {
        for item in self.items.iter().take(LINES_MAX) {
            output::line(format_args!("  {}", line(item)))?;
        }
        let more = self.items.len().saturating_sub(LINES_MAX);
        if more > 0 {
            output::line(format_args!("  … and {more} more"))?;
        }
        if self.more > 0 {
            output::line(format_args!(
                "  {} more findings are about rows that this run does not come to: repair again, or build the read model anew \
                 (chronicle projection rebuild NAME)",
                self.more
            ))?;
        }
        Ok(())
    }
}

fn what(item: &Item) -> String {
    let projection = item.projection;
    let from = item.first.version;
    let from = from.map_or_else(String::new, |version| {
        format!(", wrong from version {version}")
    });
    match &item.extent {
        Extent::Transfer(transfer_id) => format!("{projection}, transfer {transfer_id}"),
        Extent::Account(account_id) => format!("{projection}, account {account_id}{from}"),
        Extent::Everything => format!("{projection}, all of it"),
    }
}
