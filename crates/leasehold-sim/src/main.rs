//! `cargo run -p leasehold-sim -- --seeds N`: runs the simulator over many seeds.

use std::io::Write;
use std::ops::Range;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use leasehold_sim::{Event, Failure, Plan, Report, STEPS, owners};

/// How many events before a failure are printed.
const EVENTS_TOLD: usize = 40;

/// Tries to make a Leasehold server break its promises.
#[derive(Parser)]
struct Args {
    /// How many seeds to run.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    start: u64,
    /// How many events happen in each run.
    #[arg(long, default_value_t = STEPS)]
    steps: u64,
    /// Run only this seed.
    #[arg(long, conflicts_with_all = ["seeds", "start"])]
    seed: Option<u64>,
    /// Run two owners of the same limits: a gateway in front of a Prefect server.
    #[arg(long, conflicts_with = "steps")]
    owners: bool,
    /// Print everything that happens; needs --seed.
    #[arg(long, requires = "seed")]
    trace: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let seeds = match args.seed {
        Some(seed) => seed..seed + 1,
        None => args.start..args.start + args.seeds,
    };
    let mut out = std::io::stdout().lock();
    if args.owners {
        return two_owners(&mut out, &args, seeds);
    }
    let begun = Instant::now();
    let mut total = Report::default();
    for seed in seeds.clone() {
        let plan = Plan { seed, steps: args.steps, sabotage: None };
        if args.trace {
            for (at, what) in leasehold_sim::trace(plan) {
                writeln!(out, "{at:>12} {what}")?;
            }
        }
        match leasehold_sim::run(plan) {
            Ok(report) => total += report,
            Err(failure) => {
                let steps = match args.steps {
                    STEPS => String::new(),
                    steps => format!(" --steps {steps}"),
                };
                tell(&mut out, &leasehold_sim::trace(plan), &failure)?;
                replay(&mut out, seed, &steps)?;
                return Ok(ExitCode::FAILURE);
            }
        }
        let done = seed + 1 - seeds.start;
        if done % 50 == 0 {
            writeln!(out, "{done} of {} seeds", seeds.end - seeds.start)?;
        }
    }
    let Report { requests, grants, refusals, gone, unavailable, starts, waits, woken, left } =
        total;
    writeln!(
        out,
        "{} seeds held in {:.1} s: {requests} requests, {grants} grants, {refusals} refusals, \
         {gone} times gone, {unavailable} times unavailable, {starts} starts; \
         {waits} waited, {woken} of them were granted, {left} left",
        seeds.end - seeds.start,
        begun.elapsed().as_secs_f64(),
    )?;
    Ok(ExitCode::SUCCESS)
}

/// Runs a gateway in front of a Prefect server over many seeds.
fn two_owners(out: &mut impl Write, args: &Args, seeds: Range<u64>) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    let mut total = owners::Report::default();
    for seed in seeds.clone() {
        let plan = owners::Plan { seed, seconds: owners::SECONDS, sabotage: None };
        if args.trace {
            for (at, what) in owners::trace(plan) {
                writeln!(out, "{at:>12} {what}")?;
            }
        }
        match owners::run(plan) {
            Ok(report) => total += report,
            Err(failure) => {
                tell(out, &owners::trace(plan), &failure)?;
                replay(out, seed, " --owners")?;
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    let owners::Report {
        grants_here,
        grants_there,
        grants_on_both,
        handed_over,
        handed_back,
        starts,
    } = total;
    writeln!(
        out,
        "{} seeds of two owners held in {:.1} s: {grants_here} grants here, {grants_there} there, \
         {grants_on_both} over several limits; {handed_over} limits came over, {handed_back} went \
         back; {starts} starts",
        seeds.end - seeds.start,
        begun.elapsed().as_secs_f64(),
    )?;
    Ok(ExitCode::SUCCESS)
}

fn tell(out: &mut impl Write, events: &[Event], failure: &Failure) -> std::io::Result<()> {
    let end = events.partition_point(|(at, _)| *at <= failure.at);
    for (at, what) in &events[end.saturating_sub(EVENTS_TOLD)..end] {
        writeln!(out, "{at:>12} {what}")?;
    }
    writeln!(out, "failed at {}: {}", failure.at, failure.what)
}

fn replay(out: &mut impl Write, seed: u64, options: &str) -> std::io::Result<()> {
    writeln!(out, "replay: cargo run -p leasehold-sim -- --seed {seed}{options} --trace")
}
