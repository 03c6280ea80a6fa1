//! Real Prefect clients: how long many short tasks take on a limit, compared with the best that the
//! limit and the client itself allow.

use std::fs::File;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::Serialize;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::report::{self, Absent, Report, Target, progress};
use crate::systems::{Server, System, prefect_client_python};
use crate::table::{Table, fine};

const PROGRAM: &str = include_str!("../programs/makespan.py");
/// More slots than there are tasks.
const NEVER_BLOCKS: u64 = 1_000_000;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many processes share the tasks.
    #[arg(long, default_value_t = 4)]
    processes: usize,
    /// How many tasks there are in all.
    #[arg(long, default_value_t = 200)]
    tasks: usize,
    /// How long each holds its slot, in milliseconds.
    #[arg(long, default_value_t = 50)]
    hold_ms: u64,
    /// How many slots there are.
    #[arg(long, default_value_t = 4)]
    limit: u64,
    /// How often; the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How long to wait for one run, in seconds.
    #[arg(long, default_value_t = 600.0)]
    patience_seconds: f64,
    /// Measure only Leasehold.
    #[arg(long)]
    alone: bool,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Makespans {
    tasks: usize,
    processes: usize,
    limit: u64,
    hold_ms: u64,
    ideal_seconds: f64,
    rows: Vec<Row>,
    absent: Vec<Absent>,
}

#[derive(Debug, Serialize)]
struct Row {
    system: System,
    /// The time of the same tasks on a limit that never blocks, less the time that one task holds
    /// its slot.
    client_seconds: f64,
    makespan_seconds: f64,
    /// The ratio of the makespan to the sum of the ideal and the client's own time.
    ratio: f64,
}

pub(crate) async fn measure(args: &Args) -> anyhow::Result<Makespans> {
    ensure!(args.processes > 0 && args.limit > 0, "--processes and --limit must be at least 1");
    let held_seconds = args.hold_ms as f64 / 1e3;
    let mut found = Makespans {
        tasks: args.tasks,
        processes: args.processes,
        limit: args.limit,
        hold_ms: args.hold_ms,
        ideal_seconds: args.tasks as f64 * held_seconds / args.limit as f64,
        rows: Vec::new(),
        absent: Vec::new(),
    };
    for system in [System::Leasehold, System::Prefect] {
        if args.alone && system != System::Leasehold {
            continue;
        }
        let Some(server) = report::start(system, &mut found.absent).await? else { continue };
        let mut client = server.client().await?;
        client.create_limit("free", NEVER_BLOCKS, 0.0).await?;
        client.create_limit("scarce", args.limit, 0.0).await?;
        // The first run finds the disk and the server cold, and does not count.
        progress(format_args!("{}, a run that does not count", system.name()));
        run(&server, "free", args).await?;
        let (mut free, mut scarce) = (Vec::new(), Vec::new());
        for round in 1..=args.rounds {
            let (name, rounds) = (system.name(), args.rounds);
            progress(format_args!("{name}, tasks that never wait, {round} of {rounds}"));
            free.push(run(&server, "free", args).await?);
            progress(format_args!("{name}, {} slots, {round} of {rounds}", args.limit));
            scarce.push(run(&server, "scarce", args).await?);
        }
        let client_seconds = middle(free)? - held_seconds;
        let makespan_seconds = middle(scarce)?;
        let ratio = makespan_seconds / (found.ideal_seconds + client_seconds);
        found.rows.push(Row { system, client_seconds, makespan_seconds, ratio });
    }
    Ok(found)
}

/// Runs all tasks on a limit. Returns the seconds from the first start to the last end.
async fn run(server: &Server, limit: &str, args: &Args) -> anyhow::Result<f64> {
    let mut programs = Vec::new();
    for index in 0..args.processes {
        // The first processes take the remainder.
        let tasks = args.tasks / args.processes + usize::from(index < args.tasks % args.processes);
        programs.push(Program::start(server, limit, tasks, args)?);
    }
    let all = async {
        for program in &mut programs {
            program.line("ready").await?;
        }
        // All of them are loaded: now they start together.
        for program in &mut programs {
            program.go().await?;
        }
        let (mut first, mut last) = (f64::INFINITY, 0.0_f64);
        for program in &mut programs {
            let (since, until) = span(&program.line("ran").await?)?;
            (first, last) = (first.min(since), last.max(until));
        }
        anyhow::Ok(last - first)
    };
    let patience = Duration::from_secs_f64(args.patience_seconds);
    timeout(patience, all).await.with_context(|| {
        format!("{}: the tasks did not end in {} s", server.system.name(), args.patience_seconds)
    })?
}

fn middle(mut seconds: Vec<f64>) -> anyhow::Result<f64> {
    seconds.sort_by(f64::total_cmp);
    seconds.get(seconds.len() / 2).copied().context("--rounds must be at least 1")
}

/// The times of `FROM TO`.
fn span(text: &str) -> anyhow::Result<(f64, f64)> {
    let (since, until) = text.split_once(' ').with_context(|| format!("no times: {text:?}"))?;
    Ok((since.parse()?, until.parse()?))
}

/// One process of a user. Killed when dropped.
struct Program {
    process: Child,
    output: Lines<BufReader<ChildStdout>>,
    log: std::path::PathBuf,
}

impl Program {
    fn start(server: &Server, limit: &str, tasks: usize, args: &Args) -> anyhow::Result<Self> {
        let log = server.folder().join("program.log");
        let mut process = Command::new(prefect_client_python()?)
            .args(["-c", PROGRAM, limit, &tasks.to_string()])
            .arg((args.hold_ms as f64 / 1e3).to_string())
            .env("PREFECT_API_URL", format!("http://{}/api", server.host()))
            .env("PREFECT_HOME", server.folder().join("user"))
            .env("DO_NOT_TRACK", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::options().create(true).append(true).open(&log)?)
            .kill_on_drop(true)
            .spawn()?;
        let output = process.stdout.take().context("the program has no output")?;
        Ok(Self { process, output: BufReader::new(output).lines(), log })
    }

    /// Reads on to a line that starts with `word`. Returns what follows it.
    async fn line(&mut self, word: &str) -> anyhow::Result<String> {
        while let Some(line) = self.output.next_line().await? {
            if let Some(rest) = line.strip_prefix(word) {
                return Ok(rest.trim().to_owned());
            }
        }
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        anyhow::bail!("a program ended without saying {word:?}:\n{log}")
    }

    async fn go(&mut self) -> anyhow::Result<()> {
        let input = self.process.stdin.as_mut().context("the program has no input")?;
        Ok(input.write_all(b"go\n").await?)
    }
}

impl Report for Makespans {
    fn tables(&self) -> Vec<Table> {
        let Self { tasks, processes, limit, hold_ms, ideal_seconds, .. } = self;
        let title = format!(
            "Makespan, Prefect 3.8.8: {processes} processes, {tasks} tasks of {hold_ms} ms, \
             {limit} slots"
        );
        let head = ["server", "ideal s", "client s", "makespan s", ": ideal + client"];
        let mut table = Table::new(title, &head);
        for row in &self.rows {
            table.row([
                row.system.name().to_owned(),
                fine(*ideal_seconds),
                fine(row.client_seconds),
                fine(row.makespan_seconds),
                fine(row.ratio),
            ]);
        }
        for absent in &self.absent {
            table.note(absent.note());
        }
        vec![table]
    }

    fn targets(&self) -> Vec<Target> {
        let ours = self.rows.iter().filter(|row| row.system == System::Leasehold);
        ours.map(|row| Target::at_most("makespan, to ideal + client", row.ratio, 1.25)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_of_a_program_are_parsed() {
        assert_eq!(span("12.5 14.75").unwrap(), (12.5, 14.75));
        assert_eq!(span("12.5").unwrap_err().to_string(), "no times: \"12.5\"");
    }
}
