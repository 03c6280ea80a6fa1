//! The plan of an export or a restoration, and what was done.

use std::process::ExitCode;

use leasehold_migrate::{ExportHolder, ExportLimit, ExportPlan, Exported, Fate, Way, moment};
use serde_json::json;

use crate::commands::view::{self, Form};
use crate::exit::Exit;
use crate::output::{Page, Style};

const LIMITS: [&str; 4] = ["Limit", "Slots", "Taken there", "What becomes of it"];
const HOLDERS: [&str; 4] = ["Lease", "Limit", "Slots", "What becomes of it"];

/// Whether the plan was carried out.
#[derive(Debug)]
pub(super) enum Outcome {
    Planned,
    Done(Exported),
}

impl Outcome {
    /// Not everything could be done if the server refused something.
    pub(super) fn exit(&self) -> ExitCode {
        match self {
            Self::Done(exported) if !exported.failed.is_empty() => Exit::No.into(),
            _ => ExitCode::SUCCESS,
        }
    }
}

pub(super) fn print(plan: &ExportPlan, outcome: &Outcome, form: Form) {
    let applied = match outcome {
        Outcome::Planned => None,
        Outcome::Done(exported) => Some(exported),
    };
    let answer = json!({ "plan": plan, "applied": applied });
    let page = view::page(form, &answer, |page| {
        write(page, plan);
        page.line("");
        match applied {
            None => page.line("nothing was changed"),
            Some(exported) => done(page, exported),
        }
    });
    page.print();
}

fn done(page: &mut Page, exported: &Exported) {
    let Exported { limits, holders, before, failed } = exported;
    page.line(&format!("wrote {limits} limit(s) and counted {holders} holder(s)"));
    if *before > 0 {
        page.line(&format!("{before} were counted there before"));
    }
    for failed in failed {
        page.paragraph(Style::Warning, 2, failed);
    }
}

fn write(page: &mut Page, plan: &ExportPlan) {
    page.paragraph(Style::Plain, 0, &format!("To {} ({})", plan.to, plan.version));
    page.line("");
    let rows: Vec<_> = plan.limits.iter().map(limit_row).collect();
    page.table(LIMITS, &rows, &[0, 3]);
    if !plan.holders.is_empty() {
        page.line("");
        let rows: Vec<_> = plan.holders.iter().map(|holder| holder_row(holder, plan)).collect();
        page.table(HOLDERS, &rows, &[0, 1, 3]);
    }
    for note in &plan.notes {
        page.line("");
        page.paragraph(Style::Plain, 2, note);
    }
}

fn limit_row(limit: &ExportLimit) -> [String; 4] {
    let becomes = match &limit.fate {
        Fate::Create => "created".to_owned(),
        Fate::Same => "is there already".to_owned(),
        Fate::Replace(why) => format!("replaced: {}", why.join("; ")),
        Fate::Skip(_) => "stays as it is there".to_owned(),
        Fate::Conflict(why) => format!("conflict: {}", why.join("; ")),
        Fate::LeaveOut(why) => format!("left out: {why}"),
    };
    let becomes = match limit.unleased {
        0 => becomes,
        slots => format!("{becomes}; {slots} slots without a lease are counted"),
    };
    let taken = limit.taken.map_or_else(|| "as it is".to_owned(), |taken| taken.to_string());
    [limit.name.clone(), limit.slots.to_string(), taken, becomes]
}

fn holder_row(holder: &ExportHolder, plan: &ExportPlan) -> [String; 4] {
    let name = match &holder.holder {
        Some(held_by) => held_by.to_string(),
        None => holder.lease.to_string(),
    };
    let left = holder.deadline.map(|deadline| moment::show_span(deadline.since(plan.at)));
    let left = left.map_or_else(|| "without an end".to_owned(), |left| format!("{left} left"));
    let becomes = match &holder.way {
        Way::Lease => format!("its lease is written ({left})"),
        Way::Granted => format!("the server is asked for its slots ({left})"),
        Way::TaskRun => "its task run is written among the holders of the tag".to_owned(),
        Way::Count => "its slots are counted, and nothing returns them".to_owned(),
        Way::Left(why) => format!("left: {why}"),
    };
    [name, holder.limits.join(", "), holder.slots.to_string(), becomes]
}
