//! What the operating system says of this process.

/// The physical memory that it occupies, in bytes; `None` where there is no `/proc`.
pub(super) fn resident_memory_bytes() -> Option<u64> {
    resident_bytes(&std::fs::read_to_string("/proc/self/status").ok()?)
}

/// The line `VmRSS:     1234 kB`. The kernel's kB have 1,024 bytes (proc_pid_status(5)).
fn resident_bytes(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::resident_bytes;

    #[test]
    fn memory_is_read_from_the_line_that_has_it() {
        let status = "Name:\tchronicle\nVmHWM:\t   99 kB\nVmRSS:\t   12 kB\nThreads:\t4\n";
        assert_eq!(resident_bytes(status), Some(12_288));
        assert_eq!(resident_bytes("Name:\tkthreadd\n"), None);
        assert_eq!(resident_bytes("VmRSS:\t12 MB\n"), None);
    }
}
