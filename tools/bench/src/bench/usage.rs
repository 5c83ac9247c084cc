//! What processes use of the machine, from Linux's `/proc`.

use std::fs;

use stack::process;

/// Of a process and all its descendants.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Usage {
    /// Processor time so far, that of descendants that ended included.
    pub(crate) cpu_seconds: f64,
    /// Resident memory; pages that processes share count in each.
    pub(crate) resident_mib: f64,
    /// The same with shared pages divided among those that share them.
    pub(crate) proportional_mib: f64,
}

/// `None` where there is no `/proc` or no such process.
pub(crate) fn of(root: u32) -> Option<Usage> {
    let mut usage = Usage::default();
    #[expect(clippy::cast_precision_loss, reason = "some 100 a second")]
    let ticks_per_second = rustix::param::clock_ticks_per_second() as f64;
    for pid in process::tree(root) {
        // One that has ended meanwhile counts in its parent.
        let Some(ticks) = read(pid, "stat").as_deref().and_then(cpu_ticks) else {
            continue;
        };
        #[expect(clippy::cast_precision_loss, reason = "a processor's ticks of years")]
        let seconds = ticks as f64 / ticks_per_second;
        usage.cpu_seconds += seconds;
        if let Some(memory) = read(pid, "smaps_rollup") {
            usage.resident_mib += mebibytes(&memory, "Rss:");
            usage.proportional_mib += mebibytes(&memory, "Pss:");
        }
    }
    (usage.cpu_seconds > 0.0 || usage.resident_mib > 0.0).then_some(usage)
}

fn read(pid: u32, file: &str) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/{file}")).ok()
}

/// User and system time of a process and of the children that it has waited for (proc_pid_stat(5)).
fn cpu_ticks(stat: &str) -> Option<u64> {
    // The name, in parentheses, may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let times = fields.get(11..15)?;
    times
        .iter()
        .map(|time| time.parse::<u64>().ok())
        .sum::<Option<u64>>()
}

fn mebibytes(rollup: &str, name: &str) -> f64 {
    rollup
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok())
        .map_or(0.0, |kibibytes| kibibytes / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_behind_any_name() {
        let stat =
            "7 (a) b) (c) S 1 7 7 0 -1 4194560 1081 2 3 4 20 10 5 1 20 0 3 0 81 9 8 184467 1";
        assert_eq!(cpu_ticks(stat), Some(36));
        assert_eq!(cpu_ticks("7 (a"), None);
        assert_eq!(cpu_ticks("7 (a) S 1"), None);
    }

    #[test]
    fn memory_is_read_in_mebibytes() {
        let rollup = "55d0-7ffd ---p 00000000 00:00 0 [rollup]\nRss:            2048 kB\nPss:             512 kB\nPss_Dirty: 1 kB\n";
        assert!((mebibytes(rollup, "Rss:") - 2.0).abs() < 1e-9);
        assert!((mebibytes(rollup, "Pss:") - 0.5).abs() < 1e-9);
        assert!(mebibytes("", "Rss:").abs() < 1e-9);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_uses_memory() {
        let usage = of(std::process::id()).expect("it runs");
        assert!(usage.resident_mib > 1.0, "{usage:?}");
    }
}
