//! Sends the recorded requests of real clients of a Prefect 3.8.8 server again. Our answers are the
//! recorded ones, except where [`deviations`] says otherwise.

mod clients;
mod compare;
mod deviations;
mod recording;
pub(crate) mod sockets;
mod validation;

use axum::body::Body;
use axum::http::{Request, header};
use leasehold_engine::{Span, Timestamp};
use serde_json::Value;

use crate::fixture::{Answer, TestApp, request};
use compare::Ids;
use deviations::{DEVIATIONS, Deviation};
use recording::{Line, requests};

/// A capture, sent line by line to a server of ours.
struct Replay {
    app: TestApp,
    capture: &'static str,
    /// The prefix of each path, for captures that leave it out.
    prefix: &'static str,
    ids: Ids,
    /// All differences that the table does not list.
    wrong: Vec<String>,
    /// The lines whose answers deviated as the table says.
    deviated: Vec<usize>,
}

impl Replay {
    fn of(capture: &'static str, app: TestApp) -> Self {
        Self {
            app,
            capture,
            prefix: "",
            ids: Ids::default(),
            wrong: Vec::new(),
            deviated: Vec::new(),
        }
    }

    fn with_prefix(mut self, prefix: &'static str) -> Self {
        self.prefix = prefix;
        self
    }

    /// Creates a limit that existed before the recording, as a recorded answer shows it.
    async fn given(&mut self, recorded: &Value) {
        let id = match recorded["tag"].as_str() {
            Some(tag) => self.app.tag(tag, recorded["concurrency_limit"].as_u64().unwrap()).await,
            None => {
                let fields = ["name", "limit", "active", "active_slots", "slot_decay_per_second"]
                    .into_iter();
                let body = fields.map(|field| (field.to_owned(), recorded[field].clone()));
                self.app.limit_with(&Value::Object(body.collect())).await
            }
        };
        self.ids.learn(recorded["id"].as_str().unwrap(), &id);
    }

    /// Sends all lines in their order.
    async fn all(mut self) {
        for (number, line) in requests(self.capture) {
            self.step(number, &line).await;
        }
        self.done();
    }

    /// Sends a line at its time, and compares the answers.
    async fn step(&mut self, number: usize, line: &Line) -> Answer {
        if let Some(at) = line.t {
            let at = Timestamp::from_micros(0) + Span::from_seconds_f64(at);
            self.app.clock.advance(at.since(self.app.clock.now()));
        }
        let request = self.request(line);
        let answer = self.app.send(request).await;
        let recorded = (line.status(), line.answer());
        let deviation =
            DEVIATIONS.iter().find(|known| known.capture == self.capture && known.line == number);
        let differs = match deviation {
            None => self.ids.compare(recorded, &line.resp_headers, &answer).err(),
            Some(deviation) => {
                self.deviated.push(number);
                self.deviates(deviation, recorded, line, &answer)
            }
        };
        if let Some(how) = differs {
            let what = format!("{} {} {}", line.method, line.path, line.sent());
            self.wrong.push(format!("{}:{number} {what}\n{how}", self.capture));
        }
        answer
    }

    fn deviates(
        &mut self,
        deviation: &Deviation,
        recorded: (u16, Value),
        line: &Line,
        answer: &Answer,
    ) -> Option<String> {
        if self.ids.clone().compare(recorded.clone(), &line.resp_headers, answer).is_ok() {
            return Some(format!("does not deviate, though {} says so", deviation.because));
        }
        let ours = deviation.ours.instead_of(recorded);
        self.ids.compare_body(ours, answer).err()
    }

    fn request(&mut self, line: &Line) -> Request<Body> {
        let path = self.ids.ours(&line.path);
        let mut request = request(&line.method, &format!("{}{path}", self.prefix));
        for (name, value) in &line.req_headers {
            request = request.header(name, self.ids.ours(value));
        }
        let has_type =
            line.req_headers.keys().any(|name| name.eq_ignore_ascii_case("content-type"));
        let body = match (&line.req_raw, &line.req_body) {
            (Some(raw), _) => raw.clone(),
            (None, None) => String::new(),
            (None, Some(json)) => {
                if !has_type {
                    request = request.header(header::CONTENT_TYPE, "application/json");
                }
                self.ids.ours(&json.to_string())
            }
        };
        request.body(Body::from(body)).unwrap()
    }

    /// Ends the replay: fails on differences, and on deviations of the table that did not occur.
    #[track_caller]
    fn done(self) {
        assert!(self.wrong.is_empty(), "{}", self.wrong.join("\n\n"));
        let known = DEVIATIONS.iter().filter(|known| known.capture == self.capture);
        let known: Vec<_> = known.map(|known| known.line).collect();
        assert_eq!(self.deviated, known, "the table of deviations has lines that were not met");
    }
}
