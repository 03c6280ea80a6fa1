//! Whole sessions of real clients.

use serde_json::json;

use super::Replay;
use super::recording::{Line, requests};
use crate::fixture::{TestApp, lease_of};

fn replay(capture: &'static str) -> Replay {
    let began = requests(capture).iter().find_map(|(_, line)| line.t).unwrap();
    Replay::of(capture, TestApp::init().at(began).start())
}

/// A global limit that existed before a recording.
fn limit(id: &str, name: &str, slots: u64) -> serde_json::Value {
    json!({
        "id": id,
        "name": name,
        "limit": slots,
        "active": true,
        "active_slots": 0,
        "slot_decay_per_second": 0.0,
    })
}

const LIM_A: &str = "39a47966-7cab-4bef-b7a3-be5632fb5418";
const LIM_B: &str = "9f513548-7ba8-4ceb-982f-13427f307c63";
const TAG_DB: &str = "a62570c7-29fe-4ba7-8810-e47d2330a5db";

#[tokio::test]
async fn context_managers_are_answered_as_recorded() {
    replay("concurrency_sync").all().await;
}

#[tokio::test]
async fn rate_limits_are_answered_as_recorded() {
    replay("rate_limit").all().await;
}

#[tokio::test]
async fn every_method_of_the_client_is_answered_as_recorded() {
    let mut replay = replay("client_methods");
    let all = requests("client_methods");
    for limit in made_before(&all) {
        replay.given(&limit).await;
    }
    replay.all().await;
}

#[tokio::test]
async fn the_command_line_for_limits_is_answered_as_recorded() {
    let mut replay = replay("cli_gcl");
    let all = requests("cli_gcl");
    for limit in made_before(&all) {
        replay.given(&limit).await;
    }
    replay.all().await;
}

#[tokio::test]
async fn the_command_line_for_tags_is_answered_as_recorded() {
    let mut replay = replay("cli_concurrency_limit");
    replay.given(&json!({"id": TAG_DB, "tag": "db", "concurrency_limit": 1})).await;
    replay.all().await;
}

#[tokio::test]
async fn the_terraform_provider_is_answered_as_recorded() {
    replay("terraform_provider").all().await;
}

/// The limits in a capture's lists that the capture does not create itself.
fn made_before(all: &[(usize, Line)]) -> Vec<serde_json::Value> {
    let made: Vec<_> = all
        .iter()
        .filter(|(_, line)| line.status() == 201)
        .map(|(_, line)| line.answer())
        .collect();
    let mut limits = Vec::new();
    for (_, line) in all.iter().filter(|(_, line)| line.path.ends_with("/filter")) {
        for limit in line.answer().as_array().into_iter().flatten() {
            let is_known = |known: &serde_json::Value| known["id"] == limit["id"];
            if !made.iter().any(is_known) && !limits.iter().any(is_known) {
                limits.push(limit.clone());
            }
        }
    }
    limits
}

/// Replays the requests of flows that concern limits. Where the recorded server was overloaded, the
/// client got no answer and sent its request again. So the test gives back what we granted there.
async fn replay_flow(mut replay: Replay) {
    for (number, line) in requests(replay.capture) {
        let answer = replay.step(number, &line).await;
        if line.status() == 503 && line.path.ends_with("with-lease") && answer.status == 200 {
            replay.app.release(&lease_of(&answer)).await.expect(204);
        }
    }
    replay.done();
}

#[tokio::test]
async fn tagged_flows_of_3_8_8_are_answered_as_recorded() {
    let mut replay = replay("flow_tagged_3.8.8");
    replay.given(&limit(LIM_A, "lim-a", 2)).await;
    replay_flow(replay).await;
}

#[tokio::test]
async fn tagged_flows_of_3_4_10_are_answered_as_recorded() {
    let mut replay = replay("flow_tagged_3.4.10");
    replay.given(&json!({"id": TAG_DB, "tag": "db", "concurrency_limit": 1})).await;
    replay_flow(replay).await;
}

#[tokio::test]
async fn tagged_flows_of_3_1_15_are_answered_as_recorded() {
    let mut replay = replay("flow_tagged_3.1.15");
    replay.given(&json!({"id": TAG_DB, "tag": "db", "concurrency_limit": 1})).await;
    replay_flow(replay).await;
}

#[tokio::test]
async fn flows_with_global_limits_are_answered_as_recorded() {
    let mut replay = replay("flow_global_3.8.8");
    replay.given(&limit(LIM_A, "lim-a", 2)).await;
    replay_flow(replay).await;
}

/// The recorded server looked for expired leases every few seconds. Ours frees the slot at the
/// deadline, so the waiter's next poll succeeds. The test does not send the later polls.
#[tokio::test]
async fn the_slot_of_a_killed_holder_is_back_at_its_deadline() {
    let mut replay = replay("holder_killed");
    replay.given(&limit(LIM_B, "lim-b", 1)).await;
    let all = requests("holder_killed");
    let (renewed, _) = all.iter().find(|(_, line)| line.path.ends_with("/renew")).unwrap();
    let deadline = all.iter().find(|(number, _)| number == renewed).unwrap().1.t.unwrap() + 60.0;
    let is_early = |line: &Line| line.t.unwrap() >= deadline && line.status() == 423;
    let polls = all.iter().filter(|(_, line)| is_early(line)).count();
    assert_eq!(polls, 6, "polls in vain after the deadline");
    for (number, line) in all.iter().filter(|(_, line)| !is_early(line)) {
        replay.step(*number, line).await;
    }
    replay.done();
}
