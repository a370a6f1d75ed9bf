//! On what machine something was measured.

use std::fs;

/// What a reader has to know of the machine. What cannot be found out is "unknown".
#[derive(Debug, Clone)]
pub struct Machine {
    /// How many threads run at a time.
    pub cores: usize,
    /// The processor's name.
    pub processor: String,
    /// How much memory there is, with its unit.
    pub memory: String,
    /// The kernel's release.
    pub kernel: String,
    /// How busy the machine was before: the load of the last 1, 5 and 15 minutes.
    pub load_before: String,
}

impl Machine {
    /// The machine as it is now.
    pub fn look() -> Self {
        Self {
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            processor: first_line("/proc/cpuinfo", "model name"),
            memory: first_line("/proc/meminfo", "MemTotal:"),
            kernel: first_line("/proc/sys/kernel/osrelease", ""),
            load_before: first_line("/proc/loadavg", ""),
        }
    }
}

/// What stands behind `name` in the first line of a file that begins with it.
fn first_line(path: &str, name: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let value = line.map(|line| line.trim_start_matches([' ', '\t', ':']).to_owned());
    value.unwrap_or_else(|| "unknown".to_owned())
}

#[cfg(test)]
mod tests {
    use super::Machine;

    #[test]
    fn what_cannot_be_found_out_is_said() {
        assert_eq!(super::first_line("/no/such/file", "x"), "unknown");
        let machine = Machine::look();
        assert!(machine.cores > 0 && !machine.kernel.is_empty());
    }
}
