//! Fences rise: a lease that was requested after another was acknowledged has a greater fence,
//! across restarts too. No two leases have the same fence.

use super::Evidence;

pub(super) fn check(evidence: &Evidence<'_>, report: &mut dyn FnMut(u64, String)) {
    let mut acknowledged: Vec<_> = evidence.lives.iter().collect();
    acknowledged.sort_by_key(|life| life.acknowledged);
    let mut asked = acknowledged.clone();
    asked.sort_by_key(|life| life.asked);
    let mut earlier = acknowledged.into_iter().peekable();
    let mut greatest = 0;
    for life in asked {
        while let Some(before) = earlier.next_if(|before| before.acknowledged < life.asked) {
            greatest = greatest.max(before.fence);
        }
        if life.fence <= greatest {
            let what = format!("has fence {}, and {greatest} was given before", life.fence);
            report(life.acknowledged, format!("lease {} {what}", life.lease));
        }
    }
    let mut fences: Vec<_> =
        evidence.lives.iter().map(|life| (life.fence, life.acknowledged)).collect();
    fences.sort_unstable();
    for pair in fences.windows(2) {
        if let [(one, _), (two, at)] = *pair
            && one == two
        {
            report(at, format!("two leases have fence {one}"));
        }
    }
}
