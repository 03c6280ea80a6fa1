//! The recipe in `docs/events.md` for "Who held it at 03:12?".

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// The leases that held a limit at a moment, by the recipe in `docs/events.md`: it reads all pages
/// up to then, and takes the last event of each lease.
async fn held_at(app: &TestApp, limit: &str, moment: &str) -> BTreeSet<String> {
    let (mut last, mut after) = (BTreeMap::new(), 0);
    loop {
        let path = "/api/leasehold/events?kind=lease&page_size=3";
        let path = format!("{path}&limit={limit}&until={moment}&after={after}");
        let page = app.get(&path).await.expect(200).json();
        for event in page["events"].as_array().unwrap() {
            if let Some(lease) = event["lease"].as_str() {
                last.insert(lease.to_owned(), event["kind"].as_str().unwrap().to_owned());
            }
        }
        let Some(next) = page["next"].as_u64() else { break };
        after = next;
    }
    let is_held =
        |kind: &str| matches!(kind, "lease.granted" | "lease.renewed_late" | "lease.moved_in");
    last.into_iter().filter(|(_, kind)| is_held(kind)).map(|(lease, _)| lease).collect()
}

/// The leases that held each limit, at each look.
#[derive(Default)]
struct Looks(Vec<(String, String, BTreeSet<String>)>);

impl Looks {
    /// Looks at all limits, even those that do not exist now, and lets time pass.
    async fn look(&mut self, app: &TestApp) {
        app.sleep(1.0);
        let moment = leasehold_api::Timestamp(app.clock.now().as_micros()).to_string();
        for name in ["db", "z", "z2", "tag:p", "tag:q"] {
            let answer = app.get(&format!("{LIMITS}/{name}/leases")).await;
            let held = if answer.status == 404 {
                BTreeSet::new()
            } else {
                let leases = answer.expect(200).json();
                let leases = leases.as_array().unwrap().iter();
                leases.map(|lease| lease["id"].as_str().unwrap().to_owned()).collect()
            };
            self.0.push((name.to_owned(), moment.clone(), held));
        }
        app.sleep(1.0);
    }

    /// Compares all looks with what the log says of their moments now.
    async fn check(&self, app: &TestApp) {
        for (name, moment, held) in &self.0 {
            assert_eq!(held_at(app, name, moment).await, *held, "{name} at {moment}");
        }
        let limits_held = self.0.iter().filter(|(_, _, held)| !held.is_empty()).count();
        assert!(limits_held > 20, "{limits_held} are too few to have shown anything");
    }
}

#[tokio::test]
async fn the_log_shows_who_held_a_limit_whatever_became_of_the_limit() {
    let (app, mut looks) = (start(), Looks::default());
    app.tag("p", 2).await;
    app.tag("q", 2).await;
    app.limit("db", 3).await;
    app.limit("z", 2).await;
    app.tag_increment(&["p", "q"], &run(1)).await.expect(200);
    app.tag_increment(&["p"], &run(2)).await.expect(200);
    let first = app.lease(&["db", "z"], 1).await;
    let second = app.lease_for(&["z"], &run(3)).await;
    looks.look(&app).await;
    // The reset takes a part of one lease and the whole of another, and makes a third.
    app.tag_reset("p", Some(&[&run(4)])).await.expect(200);
    looks.look(&app).await;
    app.tag_decrement(&["q"], &run(1)).await.expect(200);
    app.tag_increment(&["p", "q"], &run(5)).await.expect(200);
    looks.look(&app).await;
    app.tag_decrement(&["p"], &run(5)).await.expect(200);
    app.delete(&format!("{TAGS}/tag/p")).await.expect(200);
    looks.look(&app).await;
    app.tag("p", 1).await;
    app.tag_reset("q", None).await.expect(200);
    looks.look(&app).await;
    // The limit is renamed, and keeps its holders. Another limit gets its name.
    app.update("z", &json!({"name": "z2"})).await;
    looks.look(&app).await;
    app.limit("z", 1).await;
    app.lease(&["z"], 1).await;
    looks.look(&app).await;
    app.release(&second).await.expect(204);
    app.update("z", &json!({"active_slots": 0})).await;
    looks.look(&app).await;
    // A lease outlives one of its limits, and then both.
    app.delete(&format!("{LIMITS}/db")).await.expect(204);
    looks.look(&app).await;
    app.delete(&format!("{LIMITS}/z2")).await.expect(204);
    app.renew(&first).await.expect(204);
    app.limit("db", 1).await;
    app.limit("z2", 1).await;
    looks.look(&app).await;
    app.lease(&["db"], 1).await;
    looks.look(&app).await;
    app.release(&first).await.expect(204);
    let app = app.restart(Span::from_seconds(5)).await;
    looks.look(&app).await;
    app.sleep(400.0);
    looks.look(&app).await;
    looks.check(&app).await;
}
