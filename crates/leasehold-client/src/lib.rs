//! Holds slots of Leasehold's limits from Rust.
//!
//! [`Client`] speaks to one server. It finds the server as Prefect's clients do
//! ([`Client::from_env`]), sends requests again where that is safe, and answers an [`Error`] that a
//! caller can act on.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use leasehold_client::Client;
//!
//! let client = Client::from_env()?;
//! let version: String = client.get("/version").await?;
//! # Ok(())
//! # }
//! ```
//!
//! What this crate refuses to know: how a server decides, and how it stores anything.

mod answer;
mod backoff;
mod builder;
mod client;
mod csrf;
mod error;
mod profile;
mod request;
mod settings;
mod source;
mod tls;
mod transport;

pub use builder::ClientBuilder;
pub use client::{Client, encoded};
pub use error::Error;
pub use leasehold_api as api;
pub use request::Request;
pub use settings::{Credentials, DEFAULT_URL, Settings};
pub use source::{SettingsError, Source};
