//! Contract C16 over HTTP: the requests of Prefect's pages, Terraform and `prefect transfer` when
//! they edit a limit while leases come and go.

use serde_json::{Value, json};

use crate::fixture::{Answer, LIMITS, TestApp, run};

/// The fields of a limit that its edit dialogs show.
const SHOWN: [&str; 5] = ["active", "name", "limit", "slot_decay_per_second", "active_slots"];

impl TestApp {
    /// The fields of a limit that a dialog or Terraform has read.
    async fn shown(&self, id: &str) -> Value {
        let limit = self.get(&format!("{LIMITS}/{id}")).await.expect(200).json();
        let fields = SHOWN.into_iter().map(|field| (field.to_owned(), limit[field].clone()));
        Value::Object(fields.collect())
    }

    async fn save(&self, id: &str, body: &Value) -> Answer {
        self.patch(&format!("{LIMITS}/{id}"), body).await.expect(204)
    }
}

/// What the dialog of the pages since 3.8 sends: all fields that it showed, and `denied_slots`.
fn dialog(mut shown: Value, field: &str, value: Value) -> Value {
    shown["denied_slots"] = json!(0);
    shown[field] = value;
    shown
}

/// What the older dialog sends: all fields that it showed.
fn older_dialog(mut shown: Value, field: &str, value: Value) -> Value {
    shown[field] = value;
    shown
}

/// What each dialog sends after `field` was changed.
const DIALOGS: [fn(Value, &str, Value) -> Value; 2] = [dialog, older_dialog];

#[tokio::test]
async fn c16_a_mutex_that_was_edited_while_held_is_free_when_it_is_released() {
    for dialog in DIALOGS {
        let app = TestApp::start();
        let id = app.limit("mutex", 1).await;
        let lease = app.lease(&["mutex"], 1).await;
        let shown = app.shown(&id).await;
        assert_eq!(shown["active_slots"], 1);
        app.save(&id, &dialog(shown, "limit", json!(1))).await;
        assert_eq!(app.taken("mutex").await, 1);
        app.renew(&lease).await.expect(204);
        app.release(&lease).await.expect(204);
        assert_eq!(app.taken("mutex").await, 0);
        app.lease(&["mutex"], 1).await;
    }
}

#[tokio::test]
async fn c16_a_dialog_that_was_open_while_leases_came_and_went_takes_no_slot() {
    for dialog in DIALOGS {
        let app = TestApp::start();
        let id = app.limit("db", 4).await;
        let early = app.lease(&["db"], 3).await;
        let shown = app.shown(&id).await;
        app.release(&early).await.expect(204);
        app.save(&id, &dialog(shown.clone(), "limit", json!(5))).await;
        assert_eq!(app.taken("db").await, 0);
        // The opposite: the number is too low, and the lease stays.
        let late = app.lease(&["db"], 5).await;
        let empty = dialog(shown, "active_slots", json!(0));
        app.save(&id, &empty).await;
        assert_eq!(app.taken("db").await, 5);
        app.renew(&late).await.expect(204);
        app.sleep(300.0);
        assert_eq!(app.taken("db").await, 0, "the lease has expired, and left nothing");
    }
}

#[tokio::test]
async fn c16_a_renamed_limit_has_as_many_slots_taken_as_before() {
    for dialog in DIALOGS {
        let app = TestApp::start();
        let id = app.limit("old", 4).await;
        let lease = app.lease(&["old"], 3).await;
        let shown = app.shown(&id).await;
        app.save(&id, &dialog(shown, "name", json!("new"))).await;
        assert_eq!(app.taken("new").await, 3);
        app.release(&lease).await.expect(204);
        assert_eq!(app.taken("new").await, 0);
    }
}

#[tokio::test]
async fn c16_a_tag_that_was_edited_in_the_global_tab_is_free_when_its_runs_are_over() {
    for dialog in DIALOGS {
        let app = TestApp::start();
        let id = app.tag("x", 2).await;
        app.tag_increment(&["x"], &run(1)).await.expect(200);
        let lease = app.lease_for(&["tag:x"], &run(2)).await;
        let shown = app.shown(&id).await;
        assert_eq!((&shown["name"], &shown["active_slots"]), (&json!("tag:x"), &json!(2)));
        app.save(&id, &dialog(shown, "limit", json!(3))).await;
        assert_eq!(app.holders("x").await, json!([run(1), run(2)]));
        app.tag_decrement(&["x"], &run(1)).await.expect(200);
        app.release(&lease).await.expect(204);
        assert_eq!(app.taken("tag:x").await, 0);
    }
}

#[tokio::test]
async fn c16_a_rate_limit_that_is_edited_gets_no_drained_slot_back() {
    for dialog in DIALOGS {
        let app = TestApp::start();
        let id = app.rate_limit("api", 10, 1.0).await;
        app.spend(&["api"], 10).await.expect(200);
        let shown = app.shown(&id).await;
        assert_eq!(shown["active_slots"], 10);
        app.sleep(6.0);
        app.save(&id, &dialog(shown, "limit", json!(12))).await;
        assert_eq!(app.taken("api").await, 4);
        app.spend(&["api"], 8).await.expect(200);
    }
}

/// Without `active_slots` of its own, the provider sends the default, 0, with each apply.
#[tokio::test]
async fn c16_terraform_frees_what_no_lease_holds_and_leaves_live_leases_alone() {
    let app = TestApp::start();
    let id = app.limit("db", 4).await;
    let lease = app.lease(&["db"], 1).await;
    app.increment(&["db"], 2).await.expect(200);
    let planned = older_dialog(app.shown(&id).await, "active_slots", json!(0));
    for _ in 0..3 {
        app.save(&id, &planned).await;
        // It reads 1 where it planned 0. `docs/what-changes.md` advises `ignore_changes`.
        assert_eq!(app.shown(&id).await["active_slots"], 1);
    }
    app.renew(&lease).await.expect(204);
    app.release(&lease).await.expect(204);
    assert_eq!(app.taken("db").await, 0);
}

/// With `ignore_changes` the provider refreshes first, and sends what it read.
#[tokio::test]
async fn c16_terraform_that_ignores_changes_does_not_climb_with_each_apply() {
    let app = TestApp::start();
    let id = app.limit("db", 8).await;
    let mut leases = vec![app.lease(&["db"], 2).await];
    for apply in 0..3_u64 {
        let state = app.shown(&id).await;
        // A lease comes or goes between its read and its write.
        if apply % 2 == 0 {
            leases.push(app.lease(&["db"], 1).await);
        } else {
            app.release(&leases.pop().unwrap()).await.expect(204);
        }
        let before = app.taken("db").await;
        app.save(&id, &older_dialog(state, "limit", json!(10 + apply))).await;
        assert_eq!(app.taken("db").await, before, "apply {apply}");
    }
    for lease in leases {
        app.release(&lease).await.expect(204);
    }
    assert_eq!(app.taken("db").await, 0);
}

/// `prefect transfer` copies the count of taken slots from the old server. Here no lease holds
/// them. The creation takes that many slots, no later edit multiplies them, and a reset frees them.
#[tokio::test]
async fn c16_what_a_transfer_copied_stays_once_until_it_is_reset() {
    let app = TestApp::start();
    let copied = json!({"name": "db", "limit": 4, "active": true, "active_slots": 3});
    let id = app.limit_with(&copied).await;
    app.post(&format!("{LIMITS}/"), &copied).await.expect(409);
    let lease = app.lease(&["db"], 1).await;
    let shown = app.shown(&id).await;
    app.release(&lease).await.expect(204);
    app.save(&id, &dialog(shown, "limit", json!(5))).await;
    assert_eq!(app.taken("db").await, 3);
    app.save(&id, &json!({"active_slots": 0})).await;
    assert_eq!(app.taken("db").await, 0);
}

#[tokio::test]
async fn c16_an_edit_of_an_inactive_limit_takes_no_slot() {
    let app = TestApp::start();
    let id = app.limit("db", 2).await;
    let lease = app.lease(&["db"], 2).await;
    let shown = app.shown(&id).await;
    app.save(&id, &dialog(shown.clone(), "active", json!(false))).await;
    app.release(&lease).await.expect(204);
    app.save(&id, &dialog(shown, "active", json!(true))).await;
    assert_eq!(app.taken("db").await, 0);
    app.lease(&["db"], 2).await;
}
