//! The charts of a limit: how full it was, how many waited, and what was granted and refused.

use leasehold_records::{Chart, Moment};
use maud::{Markup, html};

use crate::doors::convert::timestamp;
use crate::doors::pages::show::number;

/// The height of the part for slots, and of the part for grants.
const HEIGHT: u64 = 100;
const GRANTS_HEIGHT: u64 = 40;
/// The width of a stretch, with the gap behind it.
const STEP: u64 = 10;

/// The last hour and the last day.
pub(super) fn charts(hour: &Chart, day: &Chart, slots: u64) -> Markup {
    html! {
        section aria-labelledby="charts" {
            h2 #charts { "The last hour and the last day" }
            @if day.is_empty() && hour.is_empty() {
                p.nothing { "Nothing has happened on it." }
            } @else {
                div.charts {
                    (chart(hour, slots, "Last hour", "60 min ago"))
                    (chart(day, slots, "Last day", "24 h ago"))
                }
                p.legend {
                    span { svg viewBox="0 0 10 10" aria-hidden="true" { rect.leased width="10" height="10" {} }
                        " taken, and granted" }
                    span { svg viewBox="0 0 10 10" aria-hidden="true" { rect.queued width="10" height="10" {} }
                        " waiting" }
                    span { svg viewBox="0 0 10 10" aria-hidden="true" { rect.denied width="10" height="10" {} }
                        " refused" }
                    span { svg viewBox="0 0 10 10" aria-hidden="true" { path.edge d="M0 5h10" {} }
                        " slots" }
                }
            }
        }
    }
}

fn chart(chart: &Chart, slots: u64, title: &str, begin: &str) -> Markup {
    let moments = &chart.moments;
    let width = moments.len() as u64 * STEP;
    let most = moments.iter().map(|it| it.taken.saturating_add(it.waiting)).max().unwrap_or(0);
    // A limit of a million slots that has two leases shows the two.
    let top = if slots > most.saturating_mul(20) { most } else { most.max(slots) }.max(1);
    let grants = moments.iter().map(|it| it.granted.max(it.refused)).max().unwrap_or(0).max(1);
    let line = scaled(slots, top, HEIGHT);
    html! {
        figure {
            figcaption { b { (title) } " " span.muted { (summary(moments)) } }
            svg.chart viewBox={ "0 0 " (width) " " (HEIGHT + GRANTS_HEIGHT + 4) }
                preserveAspectRatio="none" role="img" aria-label={ (title) ": " (summary(moments)) }
            {
                @for (at, moment) in moments.iter().enumerate() {
                    (stretch(chart, at as u64, moment, top, grants))
                }
                @if slots <= top {
                    path.edge d={ "M0 " (HEIGHT - line) "h" (width) } {}
                }
            }
            div.axis.muted aria-hidden="true" { span { (begin) } span { "now" } }
        }
    }
}

/// One stretch: above the line what was taken and what waited, below it grants and refusals.
fn stretch(chart: &Chart, at: u64, moment: &Moment, top: u64, grants: u64) -> Markup {
    if *moment == Moment::default() {
        return html! {};
    }
    let x = at * STEP;
    let (taken, waiting) = (scaled(moment.taken, top, HEIGHT), scaled(moment.waiting, top, HEIGHT));
    let granted = scaled(moment.granted, grants, GRANTS_HEIGHT);
    let refused = scaled(moment.refused, grants, GRANTS_HEIGHT);
    let (foot, half) = (HEIGHT + 4 + GRANTS_HEIGHT, STEP / 2 - 1);
    html! {
        g {
            title { (time(chart, at)) ": " (summary(std::slice::from_ref(moment))) }
            rect.leased x=(x) y=(HEIGHT - taken) width=(STEP - 1) height=(taken) {}
            rect.queued x=(x) y=(HEIGHT - (taken + waiting).min(HEIGHT)) width=(STEP - 1)
                height=(waiting.min(HEIGHT - taken)) {}
            rect.leased x=(x) y=(foot - granted) width=(half) height=(granted) {}
            rect.denied x=(x + half) y=(foot - refused) width=(half) height=(refused) {}
        }
    }
}

fn summary(moments: &[Moment]) -> String {
    let most = |of: fn(&Moment) -> u64| number(moments.iter().map(of).max().unwrap_or(0));
    let sum = |of: fn(&Moment) -> u64| number(moments.iter().map(of).sum());
    format!(
        "at most {} taken and {} waiting, {} granted, {} refused",
        most(|it| it.taken),
        most(|it| it.waiting),
        sum(|it| it.granted),
        sum(|it| it.refused)
    )
}

/// When a stretch began: `21:02 UTC`.
fn time(chart: &Chart, at: u64) -> String {
    let micros = i64::try_from(at * chart.seconds * 1_000_000).unwrap_or(0);
    let begin = leasehold_engine::Timestamp::from_micros(chart.begin_micros + micros);
    let text = timestamp(begin).to_string();
    format!("{} UTC", text.get(11..16).unwrap_or(&text))
}

/// A number as a height. What is not nothing can be seen.
fn scaled(value: u64, top: u64, height: u64) -> u64 {
    if value == 0 {
        return 0;
    }
    let scaled = u128::from(value) * u128::from(height) / u128::from(top.max(1));
    u64::try_from(scaled).unwrap_or(height).clamp(2, height)
}
