//! When this machine stood still. A lease is a promise about time, and a process that does not run
//! cannot keep it: what happens while a virtual machine waits for its processors shows nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

const TICK: Duration = Duration::from_millis(5);
/// So late a tick may be on a machine that runs.
const LATE: Duration = Duration::from_millis(15);

/// Watches every processor until it is dropped.
pub(crate) struct Standstills {
    is_over: Arc<AtomicBool>,
    processors: Vec<Processor>,
}

struct Processor {
    /// When each ended, and how long it was.
    seen: Arc<Mutex<Vec<(SystemTime, Duration)>>>,
    thread: Option<JoinHandle<()>>,
}

impl Standstills {
    pub(crate) fn watch() -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let ours = sched_getaffinity(None).unwrap();
        let processors = (0..CpuSet::MAX_CPU).filter(|number| ours.is_set(*number));
        let processors = processors.map(|number| Processor::watch(number, &is_over)).collect();
        Self { is_over, processors }
    }

    /// For how long a processor stood still within so long before a moment; of the one where it was
    /// longest.
    pub(crate) fn before(&self, moment: SystemTime, within: Duration) -> Duration {
        self.processors.iter().map(|one| one.before(moment, within)).max().unwrap_or_default()
    }
}

impl Processor {
    fn watch(number: usize, is_over: &Arc<AtomicBool>) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (is_over, telling) = (Arc::clone(is_over), Arc::clone(&seen));
        let thread = std::thread::spawn(move || {
            let mut only = CpuSet::new();
            only.set(number);
            sched_setaffinity(None, &only).unwrap();
            while !is_over.load(Ordering::Relaxed) {
                let since = Instant::now();
                std::thread::sleep(TICK);
                let late = since.elapsed().saturating_sub(TICK);
                if late > LATE {
                    telling.lock().unwrap().push((SystemTime::now(), late));
                }
            }
        });
        Self { seen, thread: Some(thread) }
    }

    fn before(&self, moment: SystemTime, within: Duration) -> Duration {
        let seen = self.seen.lock().unwrap();
        let near = seen
            .iter()
            .filter(|(ended, length)| *ended > moment - within && *ended - *length < moment);
        near.map(|(_, length)| *length).sum()
    }
}

impl Drop for Standstills {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        for processor in &mut self.processors {
            let _ = processor.thread.take().map(JoinHandle::join);
        }
    }
}
