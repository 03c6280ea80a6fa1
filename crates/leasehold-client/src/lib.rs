//! Holds slots of Leasehold's concurrency limits, rate limits and locks.
//!
//! [`Client`] speaks to one server, which it finds as Prefect's clients do
//! ([`Client::from_env`]). [`Client::acquire`] takes slots of one or more limits, and waits for
//! them if it is asked to. The answer is a [`Guard`]: it renews itself in the background, and
//! releases its slots when it is dropped.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use leasehold_client::Client;
//! use std::time::Duration;
//!
//! let client = Client::from_env()?;
//! let guard = client.acquire("database").and("gpu", 2).wait(Duration::from_secs(600)).await?;
//! tokio::select! {
//!     () = work(guard.fencing_token()) => { guard.release().await?; }
//!     lost = guard.lost() => eprintln!("stopping: {lost}"),
//! }
//! # Ok(())
//! # }
//! # async fn work(_: Option<u64>) {}
//! ```
//!
//! # What a guard promises
//!
//! - [`Guard::lost`] resolves before the server may give the slots to another holder: by
//!   [`notice`](Acquire::notice). Deadlines run on the monotonic clock from before each request was
//!   sent; the clocks of two machines are never compared.
//! - [`Lost`] says what is known. [`Lost::Ended`] is the server's word: the lease expired, was
//!   revoked (by whom, and why), or was repossessed. All others mean that no renewal arrived in
//!   time; the lease may live on, and [`Guard::changed`] says if it does. While it is held and
//!   renewals fail, its state is [`State::OutOfReach`].
//! - A lost answer costs no slot: each acquire has a key, and is sent again with it.
//! - All leases of a client are renewed together, a thousand in one request.
//!
//! The promise is bounded, as on every lock with a timeout: a process that is paused for longer
//! than the ttl between a look at the guard and what it does next can act too late. Give
//! [`Guard::fencing_token`] to the resource that you protect, and let it refuse lower ones.
//!
//! # Errors
//!
//! [`Error`] is for a caller that acts: [`Error::Full`] says who is in the way and when to come
//! back, [`Error::is_outage`] tells a server that is away from one that refuses. Requests are sent
//! again where that is safe, with growing pauses, jitter, and `Retry-After`, for
//! [`retry_for`](ClientBuilder::retry_for).
//!
//! # Without async
//!
//! [`blocking`] has the same for programs without a runtime.
//!
//! What this crate refuses to know: how a server decides, and how it stores anything.

mod acquire;
mod acquiring;
mod answer;
mod backoff;
pub mod blocking;
mod builder;
mod client;
mod csrf;
mod error;
mod events;
mod frames;
mod guard;
mod held;
mod holder;
mod keeper;
mod lists;
mod profile;
mod rate_limit;
mod request;
mod settings;
mod source;
mod tls;
mod transport;
mod waiting;

pub use acquire::{Acquire, Wait};
pub use builder::ClientBuilder;
pub use client::{Client, encoded};
pub use error::Error;
pub use events::{EventFilter, EventStream};
pub use guard::{Guard, ReleaseError, State};
pub use held::{Lost, Trouble};
pub use leasehold_api as api;
pub use lists::{Limit, LimitChanges, NewLimit};
pub use rate_limit::RateLimit;
pub use request::Request;
pub use reqwest::Method;
pub use settings::{Credentials, DEFAULT_URL, Settings};
pub use source::{SettingsError, Source};
pub use waiting::Waiting;
