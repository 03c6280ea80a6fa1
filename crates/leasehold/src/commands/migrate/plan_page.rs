//! The plan of an import for people.

use leasehold_migrate::{Fate, HolderPlan, LimitPlan, Plan, moment};

use crate::output::{Page, Style};

const LIMITS: [&str; 6] = ["Limit", "Slots", "Taken", "Carried", "Left", "What becomes of it"];
const HOLDERS: [&str; 5] = ["Holder", "Limit", "Slots", "", "Why"];

pub(super) fn write(page: &mut Page, plan: &Plan) {
    page.paragraph(Style::Plain, 0, &format!("From {} ({})", plan.from, plan.version));
    page.line("");
    if plan.limits.is_empty() {
        page.line("It has no limits.");
    } else {
        let rows: Vec<_> = plan.limits.iter().map(limit_row).collect();
        page.table(LIMITS, &rows, &[0, 5]);
    }
    if !plan.holders.is_empty() {
        page.line("");
        let rows: Vec<_> = plan.holders.iter().map(|holder| holder_row(holder, plan)).collect();
        page.table(HOLDERS, &rows, &[0, 1, 4]);
    }
    for note in notes(plan) {
        page.line("");
        page.paragraph(Style::Plain, 2, &note);
    }
}

fn limit_row(limit: &LimitPlan) -> [String; 6] {
    let becomes = match &limit.fate {
        Fate::Create => "created".to_owned(),
        Fate::Same => "is here already".to_owned(),
        Fate::Replace(why) => format!("replaced: {}", why.join("; ")),
        Fate::Skip(why) => format!("stays as it is here: {}", why.join("; ")),
        Fate::Conflict(why) => format!("conflict: {}", why.join("; ")),
        Fate::LeaveOut(why) => format!("left out: {why}"),
    };
    let becomes = match limit.unleased {
        0.0 => becomes,
        level => format!("{becomes}; {level:.2} slots are carried without a lease"),
    };
    let counts = [limit.slots, limit.taken, limit.carried, limit.left + left_unknown(limit)];
    let [slots, taken, carried, left] = counts.map(|count| count.to_string());
    [limit.name.clone(), slots, taken, carried, left, becomes]
}

/// Slots that nobody is known to hold, and that stay behind.
fn left_unknown(limit: &LimitPlan) -> u64 {
    if limit.unleased > 0.0 { 0 } else { limit.unknown }
}

fn holder_row(holder: &HolderPlan, plan: &Plan) -> [String; 5] {
    let name = match (&holder.holder, &holder.run) {
        (Some(held_by), Some(run)) if !run.name.is_empty() => {
            format!("{} ({held_by})", run.name)
        }
        (Some(held_by), _) => held_by.to_string(),
        (None, _) => format!("lease {}", holder.lease),
    };
    let ends = match holder.deadline {
        _ if !holder.carried => String::new(),
        Some(deadline) => {
            let left = moment::show_span(deadline.since(plan.at));
            format!("; ends in {left} unless it is renewed")
        }
        None => "; ends with its run".to_owned(),
    };
    let becomes = if holder.carried { "carried" } else { "left" };
    let why = format!("{}{ends}", holder.why);
    [name, holder.limits.join(", "), holder.slots.to_string(), becomes.to_owned(), why]
}

fn notes(plan: &Plan) -> Vec<String> {
    let mut notes = plan.notes.clone();
    let unknown: Vec<_> = plan
        .limits
        .iter()
        .filter(|limit| left_unknown(limit) > 0)
        .map(|limit| format!("{} ({})", limit.name, limit.unknown))
        .collect();
    if !unknown.is_empty() {
        notes.push(format!(
            "Prefect counts slots as taken that nobody is known to hold: {}. They were taken \
             without a lease, or their leases are in the server's memory, or they are zombies. They \
             stay behind; --keep-counts carries them as slots without a lease.",
            unknown.join(", ")
        ));
    }
    for limit in plan.limits.iter().filter(|limit| !limit.deployments.is_empty()) {
        let is_own = matches!(limit.fate, Fate::LeaveOut(_));
        if !is_own {
            notes.push(format!(
                "{} is used by the deployment(s) {}: their runs take it inside Prefect's server, \
                 and not here.",
                limit.name,
                limit.deployments.join(", ")
            ));
        }
    }
    notes
}
