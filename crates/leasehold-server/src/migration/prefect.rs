//! What is asked of the upstream about limits, in our own name.

use std::collections::HashMap;
use std::sync::Arc;

use axum::http::{Method, StatusCode};
use leasehold_engine::{LeaseId, LimitId, TAG_PREFIX};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::upstream::{Answer, By, Upstream, UpstreamError};

const LIMITS: &str = "/api/v2/concurrency_limits";
const TAGS: &str = "/api/concurrency_limits";
const PAGE: usize = 200;
/// How long the lease of a cover lasts, in seconds. It is renewed much earlier.
pub(super) const COVER_SECONDS: f64 = 600.0;

/// Why the upstream did not do what it was asked for.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum PrefectError {
    /// It gave no answer.
    #[error(transparent)]
    NoAnswer(#[from] UpstreamError),
    /// It gave an answer that we do not understand.
    #[error("the Prefect server at {url} answered {path} with '{what}'; its log may say why")]
    Unexpected { url: String, path: String, what: String },
}

impl PrefectError {
    /// Whether it gave no answer in time, though it is connected.
    pub(super) fn is_silence(&self) -> bool {
        matches!(self, Self::NoAnswer(UpstreamError::Silent { .. }))
    }

    /// Whether it certainly did nothing: the request did not leave.
    pub(super) fn was_not_sent(&self) -> bool {
        matches!(
            self,
            Self::NoAnswer(
                UpstreamError::Unreachable { .. }
                    | UpstreamError::Loop { .. }
                    | UpstreamError::Unaddressable { .. }
            )
        )
    }
}

/// A limit as the upstream has it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Row {
    id: Uuid,
    #[serde(deserialize_with = "shared")]
    pub(crate) name: Arc<str>,
    pub(crate) limit: u64,
    #[serde(default = "yes")]
    pub(crate) active: bool,
    pub(crate) active_slots: u64,
    #[serde(default)]
    pub(crate) slot_decay_per_second: f64,
    /// The task runs that hold a tag, if the upstream counts its slots by this list.
    #[serde(skip)]
    pub(super) listed: Option<Vec<Uuid>>,
}

/// A tag's limit as the upstream has it.
#[derive(Clone, Debug, Deserialize)]
struct TagRow {
    id: Uuid,
    tag: String,
    concurrency_limit: u64,
    #[serde(default)]
    active_slots: Vec<Uuid>,
}

#[derive(Deserialize)]
struct Granted {
    lease_id: Uuid,
}

/// What became of a request for a cover.
pub(super) enum Taken {
    /// A lease holds it.
    Lease(LeaseId),
    /// It is held without a lease: the upstream knows none.
    Plain,
    /// It is held by this id in the list of a tag.
    Listed(Uuid),
    /// There is no room.
    Refused,
}

/// Whether a lease of the upstream was renewed.
pub(super) enum Renewed {
    Yes,
    /// The upstream does not know it.
    Gone,
}

fn shared<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<str>, D::Error> {
    String::deserialize(from).map(Into::into)
}

fn yes() -> bool {
    true
}

impl Row {
    pub(crate) fn id(&self) -> LimitId {
        LimitId(self.id.as_u128())
    }
}

impl TagRow {
    fn name(&self) -> Arc<str> {
        format!("{TAG_PREFIX}{}", self.tag).into()
    }
}

impl From<TagRow> for Row {
    fn from(tag: TagRow) -> Self {
        Self {
            id: tag.id,
            name: tag.name(),
            limit: tag.concurrency_limit,
            active: true,
            active_slots: tag.active_slots.len() as u64,
            slot_decay_per_second: 0.0,
            listed: Some(tag.active_slots),
        }
    }
}

/// All limits of the upstream. Servers before 3.4.19 have those of tags in a list of their own.
pub(super) async fn rows(upstream: &Upstream) -> Result<Vec<Row>, PrefectError> {
    let mut rows: Vec<Row> = pages(upstream, LIMITS, |row: &Row| row.id).await?;
    if !rows.iter().any(|row| row.name.starts_with(TAG_PREFIX)) {
        rows.extend(tags(upstream).await?.into_iter().map(Row::from));
    }
    Ok(rows)
}

/// The task runs that the upstream names as holders of each tag.
pub(super) async fn tag_holders(
    upstream: &Upstream,
) -> Result<HashMap<Arc<str>, Vec<Uuid>>, PrefectError> {
    let rows = tags(upstream).await?;
    Ok(rows.into_iter().map(|row| (row.name(), row.active_slots)).collect())
}

async fn tags(upstream: &Upstream) -> Result<Vec<TagRow>, PrefectError> {
    pages(upstream, TAGS, |row: &TagRow| row.id).await
}

/// All rows of a list.
async fn pages<R: DeserializeOwned>(
    upstream: &Upstream,
    of: &str,
    id: impl Fn(&R) -> Uuid,
) -> Result<Vec<R>, PrefectError> {
    let path = format!("{of}/filter");
    let mut rows: Vec<R> = Vec::new();
    loop {
        // The last row once more: if it has moved, a limit before it has come or gone.
        let again = usize::from(!rows.is_empty());
        let body = json!({"limit": PAGE, "offset": rows.len() - again});
        let answer = upstream.call(Method::POST, &path, Some(&body), By::Us).await?;
        let page: Vec<R> = read(upstream, &answer, &path)?;
        let is_last = page.len() < PAGE;
        if again == 1 && page.first().map(&id) != rows.last().map(&id) {
            rows.clear();
            continue;
        }
        rows.extend(page.into_iter().skip(again));
        if is_last {
            return Ok(rows);
        }
    }
}

/// The limits that deployments refer to, each with the name of one of them.
pub(super) async fn of_deployments(
    upstream: &Upstream,
) -> Result<HashMap<LimitId, Arc<str>>, PrefectError> {
    const PATH: &str = "/api/deployments/filter";
    let mut found = HashMap::new();
    let mut offset = 0;
    loop {
        let body = json!({"limit": PAGE, "offset": offset});
        let answer = upstream.call(Method::POST, PATH, Some(&body), By::Us).await?;
        let page: Vec<Value> = read(upstream, &answer, PATH)?;
        for deployment in &page {
            let id = deployment["global_concurrency_limit"]["id"].as_str();
            if let Some(id) = id.and_then(|id| id.parse::<Uuid>().ok()) {
                let name = deployment["name"].as_str().unwrap_or_default();
                found.insert(LimitId(id.as_u128()), name.into());
            }
        }
        offset += page.len();
        if page.len() < PAGE {
            return Ok(found);
        }
    }
}

/// Takes slots of a limit at the upstream. The lease has no holder: the upstream gives back the
/// leases of a task run when that run ends, and ours may live on.
pub(super) async fn take(
    upstream: &Upstream,
    limit: &str,
    slots: u64,
) -> Result<Taken, PrefectError> {
    let path = format!("{LIMITS}/increment-with-lease");
    let body = json!({"names": [limit], "slots": slots, "lease_duration": COVER_SECONDS});
    let answer = upstream.call(Method::POST, &path, Some(&body), By::Us).await?;
    match answer.status {
        StatusCode::LOCKED | StatusCode::UNPROCESSABLE_ENTITY => Ok(Taken::Refused),
        // Servers before 3.4.9 know no leases.
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
            take_plain(upstream, limit, slots).await
        }
        _ => {
            let granted: Granted = read(upstream, &answer, &path)?;
            Ok(Taken::Lease(LeaseId(granted.lease_id.as_u128())))
        }
    }
}

/// Takes slots of a limit at the upstream without a lease.
pub(super) async fn take_plain(
    upstream: &Upstream,
    limit: &str,
    slots: u64,
) -> Result<Taken, PrefectError> {
    let path = format!("{LIMITS}/increment");
    let body = json!({"names": [limit], "slots": slots});
    let answer = upstream.call(Method::POST, &path, Some(&body), By::Us).await?;
    match answer.status {
        StatusCode::LOCKED | StatusCode::UNPROCESSABLE_ENTITY => Ok(Taken::Refused),
        _ => succeeded(upstream, &answer, &path).map(|()| Taken::Plain),
    }
}

/// Takes a slot of a tag for an id that the upstream adds to its list.
pub(super) async fn take_listed(
    upstream: &Upstream,
    limit: &str,
    run: Uuid,
) -> Result<Taken, PrefectError> {
    let path = format!("{TAGS}/increment");
    let answer = call_listed(upstream, &path, limit, run).await?;
    match answer.status {
        StatusCode::LOCKED => Ok(Taken::Refused),
        _ => succeeded(upstream, &answer, &path).map(|()| Taken::Listed(run)),
    }
}

/// Takes an id off the list of a tag. One that is not there is taken off.
pub(super) async fn give_back_listed(
    upstream: &Upstream,
    limit: &str,
    run: Uuid,
) -> Result<(), PrefectError> {
    let path = format!("{TAGS}/decrement");
    let answer = call_listed(upstream, &path, limit, run).await?;
    succeeded(upstream, &answer, &path)
}

async fn call_listed(
    upstream: &Upstream,
    path: &str,
    limit: &str,
    run: Uuid,
) -> Result<Answer, UpstreamError> {
    let tag = limit.strip_prefix(TAG_PREFIX).unwrap_or(limit);
    let body = json!({"names": [tag], "task_run_id": run});
    upstream.call(Method::POST, path, Some(&body), By::Us).await
}

/// Gives slots back that were taken without a lease.
pub(super) async fn give_back(
    upstream: &Upstream,
    limit: &str,
    slots: u64,
) -> Result<(), PrefectError> {
    let path = format!("{LIMITS}/decrement");
    let body = json!({"names": [limit], "slots": slots});
    let answer = upstream.call(Method::POST, &path, Some(&body), By::Us).await?;
    succeeded(upstream, &answer, &path)
}

/// Releases a lease of the upstream. One that has ended is released.
pub(super) async fn release(upstream: &Upstream, lease: LeaseId) -> Result<(), PrefectError> {
    let path = format!("{LIMITS}/decrement-with-lease");
    let body = json!({"lease_id": Uuid::from_u128(lease.0)});
    let answer = upstream.call(Method::POST, &path, Some(&body), By::Us).await?;
    succeeded(upstream, &answer, &path)
}

/// Renews a lease of the upstream.
pub(super) async fn renew(upstream: &Upstream, lease: LeaseId) -> Result<Renewed, PrefectError> {
    let path = format!("{LIMITS}/leases/{}/renew", Uuid::from_u128(lease.0));
    let body = json!({"lease_duration": COVER_SECONDS});
    let answer = upstream.call(Method::POST, &path, Some(&body), By::Us).await?;
    match answer.status {
        StatusCode::GONE => Ok(Renewed::Gone),
        _ => succeeded(upstream, &answer, &path).map(|()| Renewed::Yes),
    }
}

fn read<T: DeserializeOwned>(
    upstream: &Upstream,
    answer: &Answer,
    path: &str,
) -> Result<T, PrefectError> {
    succeeded(upstream, answer, path)?;
    serde_json::from_slice(&answer.body)
        .map_err(|error| unexpected(upstream, path, error.to_string()))
}

fn succeeded(upstream: &Upstream, answer: &Answer, path: &str) -> Result<(), PrefectError> {
    if answer.status.is_success() {
        return Ok(());
    }
    let what = format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body));
    Err(unexpected(upstream, path, what))
}

fn unexpected(upstream: &Upstream, path: &str, what: String) -> PrefectError {
    PrefectError::Unexpected { url: upstream.url().to_string(), path: path.to_owned(), what }
}
