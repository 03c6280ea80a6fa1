//! The report of a measurement: its figures for machines, its tables for people, and its targets.

use serde::Serialize;

use crate::process::Missing;
use crate::systems::{Server, System};
use crate::table::{Table, fine};

/// The outcome of one measurement. It serialises to all its figures.
pub(crate) trait Report: Serialize {
    /// The tables for people.
    fn tables(&self) -> Vec<Table>;

    /// The figures that have a target.
    fn targets(&self) -> Vec<Target>;
}

/// A figure that Leasehold has to reach.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Target {
    what: String,
    figure: f64,
    at_least: Option<f64>,
    at_most: Option<f64>,
    is_met: bool,
}

impl Target {
    pub(crate) fn at_least(what: impl Into<String>, figure: f64, bound: f64) -> Self {
        Self::within(what, figure, Some(bound), None)
    }

    pub(crate) fn at_most(what: impl Into<String>, figure: f64, bound: f64) -> Self {
        Self::within(what, figure, None, Some(bound))
    }

    pub(crate) fn between(what: impl Into<String>, figure: f64, low: f64, high: f64) -> Self {
        Self::within(what, figure, Some(low), Some(high))
    }

    fn within(
        what: impl Into<String>,
        figure: f64,
        at_least: Option<f64>,
        at_most: Option<f64>,
    ) -> Self {
        // A figure that could not be measured (NaN) meets no target.
        let is_met =
            at_least.is_none_or(|low| figure >= low) && at_most.is_none_or(|high| figure <= high);
        Self { what: what.into(), figure, at_least, at_most, is_met }
    }

    fn bounds(&self) -> String {
        match (self.at_least, self.at_most) {
            (Some(low), Some(high)) => format!("{low} to {high}"),
            (Some(low), None) => format!("≥ {low}"),
            (None, Some(high)) => format!("≤ {high}"),
            (None, None) => String::new(),
        }
    }
}

/// The targets as a table.
pub(crate) fn table_of(targets: &[Target]) -> Table {
    let mut table = Table::new("Targets", &["figure", "measured", "target", "met"]);
    for target in targets {
        let met = if target.is_met { "yes" } else { "no" };
        table.row([target.what.clone(), fine(target.figure), target.bounds(), met.to_owned()]);
    }
    table
}

/// Prints one report, as JSON or as tables.
pub(crate) fn print<R: Report>(report: &R, json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(report)?);
        return Ok(());
    }
    for table in report.tables() {
        println!("{}", table.text());
    }
    let targets = report.targets();
    if !targets.is_empty() {
        println!("{}", table_of(&targets).text());
    }
    Ok(())
}

/// As [`print()`], and fails if a target is not met.
pub(crate) fn print_or_fail<R: Report>(report: &R, json: bool) -> anyhow::Result<()> {
    print(report, json)?;
    let missed: Vec<_> = report.targets().into_iter().filter(|target| !target.is_met).collect();
    let names: Vec<_> = missed.iter().map(|target| target.what.as_str()).collect();
    anyhow::ensure!(names.is_empty(), "not met: {}", names.join("; "));
    Ok(())
}

/// A system that was not measured.
#[derive(Debug, Serialize)]
pub(crate) struct Absent {
    system: System,
    why: String,
}

impl Absent {
    pub(crate) fn note(&self) -> String {
        format!("Not measured: {}: {}.", self.system.name(), self.why)
    }
}

/// Starts a system, or notes that it is not installed. Fails if Leasehold is missing, or if an
/// installed system does not start.
pub(crate) async fn start(
    system: System,
    absent: &mut Vec<Absent>,
) -> anyhow::Result<Option<Server>> {
    progress(format_args!("starting {}", system.name()));
    match system.start().await {
        Ok(server) => Ok(Some(server)),
        Err(error) if system != System::Leasehold => match error.downcast::<Missing>() {
            Ok(missing) => {
                let why = missing.to_string();
                eprintln!("{why}");
                absent.push(Absent { system, why });
                Ok(None)
            }
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    }
}

/// Prints on standard error what is being measured: a run is long.
pub(crate) fn progress(what: std::fmt::Arguments<'_>) {
    eprintln!("{what} …");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_met_within_its_bounds_and_never_by_nan() {
        assert!(Target::at_least("cycles", 0.8, 0.8).is_met);
        assert!(!Target::at_least("cycles", 0.79, 0.8).is_met);
        assert!(!Target::at_most("ms", 5.1, 5.0).is_met);
        assert!(!Target::between("rate", 1.02, 0.99, 1.01).is_met);
        assert!(!Target::at_most("ms", f64::NAN, 5.0).is_met);
        let text = table_of(&[Target::at_most("hand-off, ms", 0.5, 1.0)]).text();
        assert!(text.contains("hand-off, ms    0.500    ≤ 1 yes"), "{text}");
    }
}
