//! What the system says of this process, under the names that Prometheus' own libraries use.

use std::fmt;

use super::write::Writer;

/// The process at a moment.
pub(super) struct Process {
    cpu_seconds: f64,
    resident_bytes: f64,
    start_seconds: f64,
    threads: f64,
    open_fds: Option<f64>,
    max_fds: Option<f64>,
}

impl Process {
    /// Reads it. `None` where the system does not say it in this way.
    #[cfg(target_os = "linux")]
    pub(super) fn read() -> Option<Self> {
        use procfs::process::{LimitValue, Process};
        use procfs::{CurrentSI, KernelStats};

        let process = Process::myself().ok()?;
        let stat = process.stat().ok()?;
        let ticks = procfs::ticks_per_second() as f64;
        let booted = KernelStats::current().ok()?.btime as f64;
        let limit = process.limits().ok().map(|limits| limits.max_open_files.soft_limit);
        Some(Self {
            cpu_seconds: (stat.utime + stat.stime) as f64 / ticks,
            resident_bytes: (stat.rss * procfs::page_size()) as f64,
            start_seconds: booted + stat.starttime as f64 / ticks,
            threads: stat.num_threads as f64,
            open_fds: process.fd_count().ok().map(|count| count as f64),
            max_fds: limit.and_then(|limit| match limit {
                LimitValue::Value(value) => Some(value as f64),
                LimitValue::Unlimited => None,
            }),
        })
    }

    /// Reads it. `None` where the system does not say it in this way.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn read() -> Option<Self> {
        None
    }

    pub(super) fn write(&self, writer: &mut Writer<'_>) -> fmt::Result {
        writer.seconds("process_cpu_seconds", "CPU time, of user and system", self.cpu_seconds)?;
        let gauges = [
            ("process_resident_memory_bytes", "Memory that is resident", Some(self.resident_bytes)),
            (
                "process_start_time_seconds",
                "When it started, as Unix time",
                Some(self.start_seconds),
            ),
            ("process_threads", "Threads", Some(self.threads)),
            ("process_open_fds", "Open file descriptors", self.open_fds),
            ("process_max_fds", "File descriptors that it may open", self.max_fds),
        ];
        for (name, help, value) in gauges {
            if let Some(value) = value {
                writer.gauges(name, help, [([], value)])?;
            }
        }
        Ok(())
    }
}
