//! What the figures were measured with: the machine, the date, and the versions.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde::Serialize;

use crate::process;
use crate::systems::prefect_server_python;
use crate::table::Table;

/// The machine and what ran on it.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    date: String,
    cpu: String,
    cores: usize,
    memory_gib: f64,
    /// The machine's load when the run began.
    load: String,
    system: String,
    kernel: String,
    filesystem: String,
    versions: Vec<Version>,
}

#[derive(Debug, Serialize)]
struct Version {
    program: &'static str,
    version: String,
}

impl Machine {
    /// Reads the properties of this machine. Unknown ones stay empty.
    pub(crate) fn look() -> Self {
        Self {
            date: jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string(),
            cpu: field("/proc/cpuinfo", "model name", ':'),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_gib: memory_gib(),
            load: first_words("/proc/loadavg", 3),
            system: field("/etc/os-release", "PRETTY_NAME", '=').replace('"', ""),
            kernel: first_words("/proc/sys/kernel/osrelease", 1),
            filesystem: filesystem(),
            versions: versions(),
        }
    }

    pub(crate) fn table(&self) -> Table {
        let mut table = Table::new("The machine", &["", "what"]);
        let mut row = |name: &str, value: String| table.row([name.to_owned(), value]);
        row("date", self.date.clone());
        row("processor", format!("{} cores, {}", self.cores, self.cpu));
        row("memory", format!("{:.1} GiB", self.memory_gib));
        row("system", format!("{}, Linux {}, {}", self.system, self.kernel, self.filesystem));
        row("load before", self.load.clone());
        for Version { program, version } in &self.versions {
            row(program, version.clone());
        }
        table
    }
}

/// The value of the first line of a file that starts with `name`.
fn field(path: &str, name: &str, separator: char) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    line.split_once(separator).map_or(String::new(), |(_, value)| value.trim().to_owned())
}

fn first_words(path: &str, count: usize) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().take(count).collect::<Vec<_>>().join(" ")
}

fn memory_gib() -> f64 {
    let kilobytes = field("/proc/meminfo", "MemTotal", ':');
    let kilobytes: f64 = kilobytes.trim_end_matches(" kB").parse().unwrap_or(f64::NAN);
    kilobytes / 1024.0 / 1024.0
}

/// The kind of the filesystem with the data folders.
fn filesystem() -> String {
    let here = std::env::current_dir().unwrap_or_default();
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let kind = mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace().skip(1);
            Some((Path::new(words.next()?), words.next()?))
        })
        .filter(|(mounted, _)| here.starts_with(mounted))
        .max_by_key(|(mounted, _)| mounted.components().count());
    kind.map_or(String::new(), |(_, kind)| kind.to_owned())
}

fn versions() -> Vec<Version> {
    let prefect = ["-c", "import prefect; print(prefect.__version__)"];
    [
        ("Leasehold", process::beside_us("leasehold"), &["--version"][..]),
        ("Redis", process::find("redis-server", "redis-server"), &["--version"]),
        ("etcd", process::find("etcd", "etcd-server"), &["--version"]),
        ("PostgreSQL", process::find("postgres", "postgresql"), &["--version"]),
        ("Prefect", prefect_server_python(), &prefect),
    ]
    .into_iter()
    .filter_map(|(program, path, arguments)| {
        let output = Command::new(path.ok()?).args(arguments).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Some(Version { program, version: number(&text)?.to_owned() })
    })
    .collect()
}

/// The first version number in a program's output.
fn number(text: &str) -> Option<&str> {
    text.split(|c: char| c.is_whitespace() || c == '=')
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_found_in_the_output_of_every_program() {
        assert_eq!(number("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc"), Some("7.0.15"));
        assert_eq!(number("etcd Version: 3.4.23\nGit SHA: Not provided"), Some("3.4.23"));
        assert_eq!(number("postgres (PostgreSQL) 15.18 (Debian 15.18-0)"), Some("15.18"));
        assert_eq!(number("leasehold 0.1.0\n"), Some("0.1.0"));
        assert_eq!(number("no such thing"), None);
    }

    #[test]
    fn the_properties_of_this_machine_are_read() {
        let machine = Machine::look();
        assert!(machine.cores > 0 && machine.memory_gib > 0.0);
        assert!(!machine.kernel.is_empty() && !machine.filesystem.is_empty());
    }
}
