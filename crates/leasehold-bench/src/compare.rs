//! All measurements in one run: tables for people, one object for machines, or one section for
//! docs/benchmarks.md.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::{Parser, ValueEnum};
use serde::Serialize;
use serde_json::Value;

use crate::machine::Machine;
use crate::report::{Report, Target, progress, table_of};
use crate::table::Table;
use crate::{cycles, growth, handoff, makespan, rate, scale};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run only these sections.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Section>,
    /// Check in a few minutes that everything runs: the figures mean little.
    #[arg(long)]
    quick: bool,
    /// Print JSON instead of tables.
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Print the section of docs/benchmarks.md instead of tables.
    #[arg(long)]
    markdown: bool,
    /// Write the JSON to a file as well.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Section {
    Cycles,
    Handoff,
    Makespan,
    Rate,
    Scale,
    Growth,
}

/// The arguments of each section under `--quick`.
const QUICK_CYCLES: &[&str] = &["--seconds", "1", "--rounds", "1"];
const QUICK_HANDOFF: &[&str] = &["--waiters", "100", "--handoffs", "100"];
const QUICK_MAKESPAN: &[&str] = &["--tasks", "40", "--rounds", "1"];
const QUICK_RATE: &[&str] = &["--rates", "5,20", "--seconds", "3"];
const QUICK_SCALE: &[&str] = &[
    "--leases",
    "20000",
    "--limits",
    "200",
    "--ending",
    "2000",
    "--seconds",
    "1",
    "--rounds",
    "1",
];
const QUICK_GROWTH: &[&str] = &[
    "--limits",
    "10,1000",
    "--waiters",
    "1,100",
    "--seconds",
    "1",
    "--rounds",
    "1",
    "--handoffs",
    "50",
];

/// The arguments of a section, parsed as from a command line.
#[derive(Debug, Parser)]
struct Alone<T: clap::Args> {
    #[command(flatten)]
    args: T,
}

fn args<T: clap::Args>(quick: bool, quickly: &[&str]) -> anyhow::Result<T> {
    let given = if quick { quickly } else { &[] };
    Ok(Alone::try_parse_from(["compare"].iter().chain(given))?.args)
}

/// The results of a section.
struct Done {
    section: Section,
    figures: Value,
    tables: Vec<Table>,
    targets: Vec<Target>,
}

impl Done {
    fn new<R: Report>(section: Section, report: &R) -> anyhow::Result<Self> {
        let (tables, targets) = (report.tables(), report.targets());
        Ok(Self { section, figures: serde_json::to_value(report)?, tables, targets })
    }
}

impl Section {
    fn name(self) -> &'static str {
        match self {
            Self::Cycles => "cycles",
            Self::Handoff => "handoff",
            Self::Makespan => "makespan",
            Self::Rate => "rate",
            Self::Scale => "scale",
            Self::Growth => "growth",
        }
    }

    async fn run(self, quick: bool) -> anyhow::Result<Done> {
        match self {
            Self::Cycles => Done::new(self, &cycles::measure(&args(quick, QUICK_CYCLES)?).await?),
            Self::Handoff => {
                Done::new(self, &handoff::measure(&args(quick, QUICK_HANDOFF)?).await?)
            }
            Self::Makespan => {
                Done::new(self, &makespan::measure(&args(quick, QUICK_MAKESPAN)?).await?)
            }
            Self::Rate => Done::new(self, &rate::measure(&args(quick, QUICK_RATE)?).await?),
            Self::Scale => Done::new(self, &scale::measure(&args(quick, QUICK_SCALE)?).await?),
            Self::Growth => Done::new(self, &growth::measure(&args(quick, QUICK_GROWTH)?).await?),
        }
    }
}

/// The whole JSON output.
#[derive(Serialize)]
struct Record<'a> {
    machine: &'a Machine,
    quick: bool,
    sections: serde_json::Map<String, Value>,
    targets: Vec<Target>,
    /// Sections that failed, and why.
    failures: &'a [(&'static str, String)],
}

pub(crate) async fn run(args: &Args) -> anyhow::Result<()> {
    if let Some(path) = &args.output {
        // A long run must not fail at its end because it cannot write the file.
        fs::write(path, "").with_context(|| format!("{} cannot be written", path.display()))?;
    }
    let machine = Machine::look();
    let mut done = Vec::new();
    let mut failures = Vec::new();
    for &section in Section::value_variants() {
        if !args.only.is_empty() && !args.only.contains(&section) {
            continue;
        }
        progress(format_args!("── {}", section.name()));
        match section.run(args.quick).await {
            Ok(figures) => done.push(figures),
            // The results so far are kept, and the other sections still run.
            Err(error) => {
                let why = format!("{error:#}");
                eprintln!("{} failed: {why}", section.name());
                failures.push((section.name(), why));
            }
        }
    }
    let record = serde_json::to_string_pretty(&Record {
        machine: &machine,
        quick: args.quick,
        sections: done
            .iter()
            .map(|done| (done.section.name().to_owned(), done.figures.clone()))
            .collect(),
        targets: done.iter().flat_map(|done| done.targets.clone()).collect(),
        failures: &failures,
    })?;
    if let Some(path) = &args.output {
        fs::write(path, &record)
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    if args.json {
        println!("{record}");
    } else {
        print_tables(args, &machine, &done);
    }
    let failed: Vec<_> = failures.iter().map(|(section, _)| *section).collect();
    ensure!(failures.is_empty(), "not measured: {}", failed.join(", "));
    Ok(())
}

fn print_tables(args: &Args, machine: &Machine, done: &[Done]) {
    let targets: Vec<_> = done.iter().flat_map(|done| done.targets.clone()).collect();
    let (machine, targets) = (machine.table(), table_of(&targets));
    let measured = done.iter().flat_map(|done| &done.tables);
    for table in measured.chain([&targets, &machine]) {
        let text = if args.markdown { table.markdown() } else { table.text() };
        println!("{text}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quick_arguments_are_parsed() {
        args::<cycles::Args>(true, QUICK_CYCLES).unwrap();
        args::<handoff::Args>(true, QUICK_HANDOFF).unwrap();
        args::<makespan::Args>(true, QUICK_MAKESPAN).unwrap();
        args::<rate::Args>(true, QUICK_RATE).unwrap();
        args::<scale::Args>(true, QUICK_SCALE).unwrap();
        args::<growth::Args>(true, QUICK_GROWTH).unwrap();
        assert!(args::<rate::Args>(true, &["--no-such-thing"]).is_err());
    }
}
