//! `leasehold locks status`: a census, who follows the phase, and the verdict.

use super::{Place, Where, guidance};
use crate::duration;
use crate::exit::Failure;
use crate::output::{self, Paint};
use leasehold_redis::{Census, Fleet, LockEntry, Mechanism, Observation, Verdict};
use serde_json::json;
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::Instant;

/// Show which locks are live, who holds them, and whether it is safe to go on.
///
/// Walks over the keys with SCAN and never blocks Redis. Live are old locks whose time has not come, token locks, and
/// both for dual. Who holds one is known from the programs that follow the phase and from TaskTiger's active tasks.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  leasehold locks status --redis redis://localhost
  leasehold locks status --redis redis://localhost --watch
  leasehold locks status --redis redis://localhost --json | jq .verdict")]
pub(crate) struct Args {
    #[command(flatten)]
    place: Where,

    /// Look again and again, until Ctrl-C
    #[arg(long)]
    watch: bool,

    /// Pause between two looks
    #[arg(long, default_value = "2s", value_parser = duration::parse_positive)]
    interval: Duration,

    /// The longest timeout of any lock: for so long nobody may be seen before it is safe
    #[arg(long, default_value = "60s", value_parser = duration::parse_positive)]
    longest_timeout: Duration,

    /// One JSON object per look
    #[arg(long)]
    json: bool,

    /// Show at most so many locks
    #[arg(long, default_value_t = 20)]
    show: usize,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let place = args.place.connect().await?;
    let mut observation: Option<(u64, Observation)> = None;
    loop {
        let (fleet, census) = place.look().await?;
        let judged = judge(&fleet, &census, args.longest_timeout, &mut observation);
        if args.json {
            output::line(&to_json(&place, &fleet, &census, judged.as_ref()));
        } else {
            print(&args, &place, &fleet, &census, judged.as_ref());
        }
        if !args.watch {
            return Ok(ExitCode::SUCCESS);
        }
        tokio::select! {
            () = tokio::time::sleep(args.interval) => {}
            _ = tokio::signal::ctrl_c() => return Ok(ExitCode::SUCCESS),
        }
        if !args.json {
            output::line("");
        }
    }
}

/// The verdict on the next phase. Watching starts anew when the phase changes.
fn judge(
    fleet: &Fleet,
    census: &Census,
    longest: Duration,
    observation: &mut Option<(u64, Observation)>,
) -> Option<(Mechanism, Verdict)> {
    // Without a phase key the fleet is not ours: what counts for it is whether old locks are left.
    let from = if fleet.phase.epoch == 0 { Mechanism::Dual } else { fleet.phase.phase };
    let to = from.next()?;
    if observation.as_ref().is_none_or(|(epoch, _)| *epoch != fleet.phase.epoch) {
        *observation = Some((fleet.phase.epoch, Observation::new(from, to, longest)));
    }
    let (_, observation) = observation.as_mut()?;
    Some((to, observation.judge(fleet, census, Instant::now())))
}

fn print(
    args: &Args,
    place: &Place,
    fleet: &Fleet,
    census: &Census,
    judged: Option<&(Mechanism, Verdict)>,
) {
    let paint = Paint::detect();
    let phase = &fleet.phase;
    let since = phase.changed_at_ms.map(|at| {
        let ago = Duration::try_from_secs_f64(census.at - Duration::from_millis(at).as_secs_f64())
            .unwrap_or_default();
        format!(", for {}, by {}", duration::show(ago), phase.by.as_deref().unwrap_or("unknown"))
    });
    let since = since.unwrap_or_else(|| ", because no phase was ever set".to_owned());
    output::line(&format!("{}  {}{since}", paint.strong("Phase     "), phase.phase));
    let counts = Mechanism::ALL.map(|mechanism| format!("{} {mechanism}", census.count(mechanism)));
    output::line(&format!("{}  {}", paint.strong("Live locks"), counts.join(", ")));
    let old = &census.old;
    let with_ttl = if old.dead_with_ttl > 0 {
        format!(", {} with a TTL", old.dead_with_ttl)
    } else {
        String::new()
    };
    output::line(&format!("{}  {}{with_ttl}", paint.strong("Dead old  "), old.dead));
    output::line(&format!("{}  {}", paint.strong("Workers   "), guidance::workers(census)));
    print_semaphores(census, paint);
    print_processes(fleet, paint);
    print_locks(args.show, census, paint);
    match judged {
        None => output::line(&format!("{}  this is the last phase", paint.strong("Verdict   "))),
        Some((to, verdict)) => print_verdict(*to, verdict, census.at, paint),
    }
    if fleet.alive().next().is_none() {
        output::line(&format!(
            "{}  {}",
            paint.strong("Next      "),
            guidance::next_step(fleet, census)
        ));
    }
    if let Some(until) = last_live_old(census) {
        let left = Duration::try_from_secs_f64(until - census.at).unwrap_or_default();
        output::line(&format!(
            "{}  the last live old lock under {}: runs out in {} unless it is renewed",
            paint.strong("Old locks "),
            place.keys.prefix(),
            duration::show(left)
        ));
    }
}

fn print_semaphores(census: &Census, paint: Paint) {
    let members = census.live_members().count();
    if !census.semaphores.is_empty() {
        let queues = census.semaphores.len();
        output::line(&format!(
            "{}  {queues} queue(s), {members} live holder(s)",
            paint.strong("Semaphores")
        ));
        for (queue, member) in census.live_members().take(10) {
            let left = Duration::try_from_secs_f64(member.until - census.at).unwrap_or_default();
            output::line(&format!(
                "            {queue}: {} for {}",
                member.id,
                duration::show(left)
            ));
        }
    }
}

fn print_processes(fleet: &Fleet, paint: Paint) {
    let alive = fleet.alive().count();
    let gone = fleet.processes.len() - alive;
    output::line(&format!("{}  {alive} alive, {gone} gone", paint.strong("Processes ")));
    for process in fleet.alive() {
        let confirmed = if process.confirmed == fleet.phase.epoch {
            paint.good("confirmed")
        } else {
            paint.warning("not confirmed yet")
        };
        output::line(&format!(
            "            {}, pid {} on {}: applies {}, {confirmed}, holds {}",
            process.name,
            process.pid,
            process.host,
            process.applies,
            process.holding.len()
        ));
    }
}

fn print_locks(show: usize, census: &Census, paint: Paint) {
    if census.live.is_empty() || show == 0 {
        return;
    }
    output::line(&paint.strong("  lock                      with   left     holder"));
    for entry in census.live.iter().take(show) {
        let holder =
            entry.holder.as_ref().map_or_else(|| "unknown".to_owned(), ToString::to_string);
        output::line(&format!(
            "  {:<24}  {:<5}  {:<7}  {holder}",
            shortened(&entry.id),
            entry.mechanism,
            left(entry, census.at)
        ));
    }
    if census.live.len() > show {
        output::line(&format!("  and {} more; --show N shows more", census.live.len() - show));
    }
}

/// Ids are hashes mostly: their beginning says enough for people.
fn shortened(id: &str) -> String {
    if id.chars().count() <= 24 {
        id.to_owned()
    } else {
        id.chars().take(23).chain(['…']).collect()
    }
}

fn left(entry: &LockEntry, at: f64) -> String {
    entry.until.map_or_else(
        || "for ever".to_owned(),
        |until| duration::show(Duration::try_from_secs_f64(until - at).unwrap_or_default()),
    )
}

pub(super) fn print_verdict(to: Mechanism, verdict: &Verdict, at: f64, paint: Paint) {
    let label = paint.strong("Verdict   ");
    match verdict {
        Verdict::Safe => {
            output::line(&format!("{label}  {}", paint.good(&format!("safe to go on to {to}"))));
        }
        Verdict::Watching { left } => output::line(&format!(
            "{label}  nothing is in the way of {to}; safe when that stays so for {}",
            duration::show(*left)
        )),
        Verdict::Blocked { by, until } => {
            let until = until.map(|until| {
                let left = Duration::try_from_secs_f64(until - at).unwrap_or_default();
                format!(", for {} at least unless given back", duration::show(left))
            });
            let text = format!("not safe to go on to {to}{}", until.unwrap_or_default());
            output::line(&format!("{label}  {}", paint.warning(&text)));
            for reason in by.iter().take(10) {
                output::line(&format!("            {reason}"));
            }
            if by.len() > 10 {
                output::line(&format!("            and {} more", by.len() - 10));
            }
        }
        _ => {}
    }
}

/// When the last live lock with an old half runs out.
fn last_live_old(census: &Census) -> Option<f64> {
    let old = census.live.iter().filter(|entry| entry.mechanism != Mechanism::Token);
    old.filter_map(|entry| entry.until).reduce(f64::max)
}

fn to_json(
    place: &Place,
    fleet: &Fleet,
    census: &Census,
    judged: Option<&(Mechanism, Verdict)>,
) -> String {
    let verdict = judged.map(|(to, verdict)| match verdict {
        Verdict::Safe => json!({"to": to.as_str(), "verdict": "safe"}),
        Verdict::Watching { left } => {
            json!({"to": to.as_str(), "verdict": "watching", "left_seconds": left.as_secs_f64()})
        }
        Verdict::Blocked { by, until } => {
            json!({"to": to.as_str(), "verdict": "blocked", "by": by, "until": until})
        }
        _ => json!({"to": to.as_str(), "verdict": "unknown"}),
    });
    json!({
        "prefix": place.keys.prefix(),
        "phase": {
            "phase": fleet.phase.phase.as_str(),
            "epoch": fleet.phase.epoch,
            "changed_at_ms": fleet.phase.changed_at_ms,
            "by": fleet.phase.by,
        },
        "processes": fleet.processes,
        "census": census,
        "counts": {
            "old": census.count(Mechanism::Old),
            "dual": census.count(Mechanism::Dual),
            "token": census.count(Mechanism::Token),
        },
        "last_live_old_until": last_live_old(census),
        "workers": guidance::workers(census),
        "verdict": verdict,
        "next": guidance::next_step(fleet, census),
    })
    .to_string()
}
