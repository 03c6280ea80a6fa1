//! What a shell completes beside commands and flags: names that the server knows. It asks shortly,
//! and completes nothing if there is no answer.

use std::ffi::OsStr;
use std::time::Duration;

use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use leasehold_client::Client;
use serde::Deserialize;
use serde_json::json;

/// Longer than this nobody waits for a completion.
const PATIENCE: Duration = Duration::from_millis(800);

/// A limit or a tag, as far as its name goes.
#[derive(Debug, Deserialize)]
struct Named {
    #[serde(alias = "tag")]
    name: String,
}

/// Completes the names of global limits.
pub(crate) fn limits() -> ArgValueCompleter {
    ArgValueCompleter::new(|begun: &OsStr| names("/v2/concurrency_limits/filter", begun))
}

/// Completes tags that have a limit.
pub(crate) fn tags() -> ArgValueCompleter {
    ArgValueCompleter::new(|begun: &OsStr| names("/concurrency_limits/filter", begun))
}

fn names(path: &str, begun: &OsStr) -> Vec<CompletionCandidate> {
    let Some(begun) = begun.to_str() else { return Vec::new() };
    let named = ask(path).unwrap_or_default().into_iter().map(|named| named.name);
    // A shell would act on what such a name has in it.
    let fits = |name: &String| name.starts_with(begun) && !name.contains(char::is_control);
    named.filter(fits).map(CompletionCandidate::new).collect()
}

fn ask(path: &str) -> Option<Vec<Named>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let client = Client::builder().env().ok()?.retry_for(Duration::ZERO).build().ok()?;
    let mut named: Vec<Named> = Vec::new();
    // What was read when the time is over is completed.
    let asking = async {
        while let Ok(page) = client.post(path, &json!({"offset": named.len()})).await {
            let page: Vec<Named> = page;
            if page.is_empty() {
                break;
            }
            named.extend(page);
        }
    };
    let _ = runtime.block_on(async { tokio::time::timeout(PATIENCE, asking).await });
    Some(named)
}
