//! Which processes a command has started: those of its process group, and those that have left it
//! for a session of their own. Knows nothing of locks.

use std::collections::HashSet;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

/// The variable that every process of a command inherits: which runs it belongs to.
pub(super) const MARKS: &str = "LEASEHOLD_RUNS";

/// A line of the table of processes.
struct Entry {
    id: Pid,
    parent: Pid,
    group: Pid,
    /// It has ended, and its parent has not read its status yet.
    is_dead: bool,
}

/// All processes of this machine that we may see; none where there is no `/proc`.
fn table() -> Vec<Entry> {
    let Ok(listed) = std::fs::read_dir("/proc") else { return Vec::new() };
    let ids = listed.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    ids.filter_map(|id| read(id, &std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?))
        .collect()
}

/// `ID (NAME) STATE PARENT GROUP …`, where the name may hold anything.
fn read(id: i32, stat: &str) -> Option<Entry> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut words = rest.split_whitespace();
    let is_dead = matches!(words.next()?, "Z" | "X");
    let parent = Pid::from_raw(words.next()?.parse().ok()?);
    let group = Pid::from_raw(words.next()?.parse().ok()?);
    Some(Entry { id: Pid::from_raw(id), parent, group, is_dead })
}

/// Lets the processes whose parents have ended become our children, wherever they have gone.
pub(super) fn adopt_orphans() {
    // Without it, what leaves the process group is found by its variable alone.
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_child_subreaper(true);
}

/// The children of a process.
pub(super) fn children(parent: Pid) -> Vec<Pid> {
    table().iter().filter(|entry| entry.parent == parent).map(|entry| entry.id).collect()
}

/// Our own descendants, as far as they are the command's.
pub(super) struct Tree {
    /// Children of ours that are none of the command's, nor are their descendants.
    pub(super) spared: Vec<Pid>,
}

/// A command's processes, as far as they can be found. Every one of them has to be proven: it is in
/// the command's group, or descends from this very process, or has inherited the mark.
pub(super) struct Family {
    /// The process group that the command began in; `None` if no report named it.
    pub(super) group: Option<Pid>,
    /// Where the command's processes descend from this one.
    pub(super) tree: Option<Tree>,
    /// The variable's value that they have inherited, where that is to be looked at.
    pub(super) mark: Option<String>,
}

impl Family {
    /// The living processes outside of the group.
    fn strays(&self) -> Vec<Pid> {
        let table = table();
        let ours = self.descendants(&table);
        let is_stray = |entry: &&Entry| {
            !entry.is_dead
                && Some(entry.group) != self.group
                && (ours.contains(&entry.id) || self.is_marked(entry.id))
        };
        table.iter().filter(is_stray).map(|entry| entry.id).collect()
    }

    fn descendants(&self, table: &[Entry]) -> HashSet<Pid> {
        let Some(tree) = &self.tree else { return HashSet::new() };
        let mut found = HashSet::new();
        let mut parents = vec![Pid::this()];
        while let Some(parent) = parents.pop() {
            for entry in table.iter().filter(|entry| entry.parent == parent) {
                if !tree.spared.contains(&entry.id) && found.insert(entry.id) {
                    parents.push(entry.id);
                }
            }
        }
        found
    }

    fn is_marked(&self, id: Pid) -> bool {
        let Some(mark) = &self.mark else { return false };
        let Ok(environment) = std::fs::read(format!("/proc/{id}/environ")) else { return false };
        let marks = format!("{MARKS}=");
        environment
            .split(|byte| *byte == 0)
            .filter_map(|variable| variable.strip_prefix(marks.as_bytes()))
            .any(|marks| marks.split(|byte| *byte == b',').any(|one| one == mark.as_bytes()))
    }

    /// Sends a signal to all of them. The error is that of the group.
    pub(super) fn signal(&self, signal: Signal) -> Result<(), Errno> {
        let sent = self.group.map_or(Ok(()), |group| killpg(group, signal));
        for stray in self.strays() {
            // It may have ended since it was seen.
            let _ = kill(stray, signal);
        }
        match sent {
            // The group has ended already.
            Err(Errno::ESRCH) => Ok(()),
            sent => sent,
        }
    }

    /// Asks all of them to end. A stopped process does not see the SIGTERM before it goes on.
    pub(super) fn terminate(&self) -> Result<(), Errno> {
        self.signal(Signal::SIGTERM)?;
        self.signal(Signal::SIGCONT)
    }

    pub(super) fn is_empty(&self) -> bool {
        let group_is_gone = self.group.is_none_or(|group| killpg(group, None) == Err(Errno::ESRCH));
        group_is_gone && self.strays().is_empty()
    }

    /// Lets adopted processes go that have ended. The command itself is waited for elsewhere.
    pub(super) fn reap(&self) {
        let Some(tree) = &self.tree else { return };
        let ours = Pid::this();
        for entry in table().into_iter().filter(|entry| entry.is_dead && entry.parent == ours) {
            if Some(entry.id) != self.group && !tree.spared.contains(&entry.id) {
                // It is dead and a child of ours, so that this neither fails nor waits.
                let _ = waitpid(entry.id, Some(WaitPidFlag::WNOHANG));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_parentheses_and_spaces_do_not_shift_the_fields() {
        let entry = read(7, "7 (a) S 1 2 (b)) Z 3 4 5 0").unwrap_or_else(|| panic!("no entry"));
        let pids = [entry.id, entry.parent, entry.group].map(Pid::as_raw);
        assert_eq!((pids, entry.is_dead), ([7, 3, 4], true));
        assert!(read(7, "7 (a").is_none());
    }
}
