//! The first questions to the upstream, at the start: whether it is a Prefect server, whether it
//! lets us in, and whether it asks for CSRF tokens.

use std::time::Duration;

use axum::http::{HeaderMap, Method, StatusCode};

use super::{Answer, By, Upstream, UpstreamError};
use crate::config::UpstreamUrl;

/// How long the start waits for an answer.
const GREETING_TIMEOUT: Duration = Duration::from_secs(5);
const VERSION: &str = "/api/admin/version";

/// Why the server does not start in front of this upstream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UpstreamRefused {
    /// It asks for a password, and there is none.
    #[error(
        "the Prefect server at {0} asks for a password; start with the same --auth-string as that \
         server has"
    )]
    NeedsPassword(String),
    /// It has another password.
    #[error(
        "the Prefect server at {0} refuses the password in --auth-string; give the one that it has \
         itself (PREFECT_SERVER_API_AUTH_STRING)"
    )]
    OtherPassword(String),
    /// It answers as no Prefect server does.
    #[error(
        "{url} answers {status} to {VERSION}, so it is no Prefect server; give the address of one \
         with --upstream"
    )]
    NoPrefect {
        /// Its address.
        url: String,
        /// What it answers.
        status: u16,
    },
    /// It is this server.
    #[error("{0} is this server itself; give the address of a Prefect server with --upstream")]
    Ourselves(String),
}

/// What the upstream said at the start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Greeting {
    /// Whether its writes need a CSRF token, if it said that.
    pub(crate) is_csrf_protected: Option<bool>,
}

impl Upstream {
    /// Asks the upstream who it is. One that does not answer may come later.
    pub(crate) async fn greet(&self) -> Result<Greeting, UpstreamRefused> {
        let url = self.url();
        let silent = Greeting { is_csrf_protected: None };
        let answer = match self.ask_briefly(VERSION, By::Us).await {
            Ok(answer) if answer.status == StatusCode::LOOP_DETECTED => answer,
            Ok(answer) if answer.status.is_server_error() => return Ok(silent),
            Ok(answer) => answer,
            // The failure is logged already.
            Err(_) => return Ok(silent),
        };
        self.check(&answer)?;
        let version = answer.json();
        tracing::info!(%url, %version, "in front of a Prefect server");
        self.seen().note_version(answer);
        if self.0.authorization.is_some() {
            self.warn_if_open(url).await;
        }
        let path = format!("/api/csrf-token?client={}", self.0.csrf.client());
        let asked = self.ask_briefly(&path, By::Us).await;
        let is_csrf_protected = asked.ok().and_then(|answer| match answer.status {
            StatusCode::OK => Some(true),
            StatusCode::UNPROCESSABLE_ENTITY => Some(false),
            _ => None,
        });
        Ok(Greeting { is_csrf_protected })
    }

    fn check(&self, answer: &Answer) -> Result<(), UpstreamRefused> {
        let url = self.url().to_string();
        match answer.status {
            StatusCode::OK if answer.json().is_string() => Ok(()),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(match self.0.authorization.is_some() {
                    true => UpstreamRefused::OtherPassword(url),
                    false => UpstreamRefused::NeedsPassword(url),
                })
            }
            StatusCode::LOOP_DETECTED => Err(UpstreamRefused::Ourselves(url)),
            status => Err(UpstreamRefused::NoPrefect { url, status: status.as_u16() }),
        }
    }

    async fn warn_if_open(&self, url: &UpstreamUrl) {
        let answered = self.ask_briefly(VERSION, By::Client(&HeaderMap::new())).await;
        if answered.is_ok_and(|answer| answer.status.is_success()) {
            tracing::warn!(
                %url,
                "the Prefect server asks for no password: the one in --auth-string protects limits \
                 and leases alone; set PREFECT_SERVER_API_AUTH_STRING there as well"
            );
        }
    }

    async fn ask_briefly(&self, path: &str, by: By<'_>) -> Result<Answer, UpstreamError> {
        self.call_within(GREETING_TIMEOUT, (Method::GET, path), None, by).await
    }
}
