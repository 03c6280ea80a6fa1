//! How a client is made.

use std::path::PathBuf;
use std::time::Duration;

use crate::client::Client;
use crate::settings::{Credentials, Settings};
use crate::source::{SettingsError, Source};
use crate::transport::Transport;

const USER_AGENT: &str = concat!("leasehold-client/", env!("CARGO_PKG_VERSION"));
const RETRY_FOR: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(30);

/// Settings of a client. Without any, it speaks to a server on this machine.
#[derive(Clone, Debug)]
#[must_use]
pub struct ClientBuilder {
    settings: Settings,
    user_agent: String,
    retry_for: Duration,
    timeout: Duration,
}

impl Client {
    /// Settings for a client.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// A client of the server that the environment names: see [`ClientBuilder::env`].
    ///
    /// # Errors
    /// If the environment names no server that can be.
    pub fn from_env() -> Result<Self, SettingsError> {
        Self::builder().env()?.build()
    }
}

impl Default for ClientBuilder {
    fn default() -> Self {
        Self {
            settings: Settings::default(),
            user_agent: USER_AGENT.to_owned(),
            retry_for: RETRY_FOR,
            timeout: TIMEOUT,
        }
    }
}

impl ClientBuilder {
    /// As the environment says: `LEASEHOLD_API_URL` and `LEASEHOLD_API_AUTH_STRING`; without that
    /// URL `PREFECT_API_URL`, `PREFECT_API_AUTH_STRING` and `PREFECT_API_KEY`, each from its
    /// variable or from the active profile of Prefect; without these, [`DEFAULT_URL`].
    ///
    /// [`DEFAULT_URL`]: crate::DEFAULT_URL
    ///
    /// # Errors
    /// If a variable is no UTF-8, or Prefect's file of profiles cannot be read.
    pub fn env(mut self) -> Result<Self, SettingsError> {
        self.settings = Settings::from_env()?;
        Ok(self)
    }

    /// Takes the server and the credentials from one of Prefect's profiles, as `prefect --profile`
    /// does: other variables do not count.
    ///
    /// # Errors
    /// If there is no such profile, or its file cannot be read.
    pub fn profile(mut self, name: &str) -> Result<Self, SettingsError> {
        self.settings = Settings::of_profile(name)?;
        Ok(self)
    }

    /// The URL of the API, such as `https://limits.example.com/api`. Credentials that the
    /// environment has for Prefect's own URL do not go to another one.
    pub fn url(mut self, url: impl Into<String>) -> Self {
        let url = url.into();
        let is_prefects = match &self.settings.credentials_from {
            Source::Variable(name) => name.starts_with("PREFECT_"),
            Source::Profile { .. } => true,
            Source::Given | Source::Default => false,
        };
        if is_prefects && url.trim_end_matches('/') != self.settings.url.trim_end_matches('/') {
            self.settings.credentials = None;
            self.settings.credentials_from = Source::Default;
        }
        self.settings.url = url;
        self.settings.url_from = Source::Given;
        self
    }

    /// HTTP Basic authentication: `user:password`, the server's `--auth-string`.
    pub fn auth_string(self, auth_string: impl Into<String>) -> Self {
        self.credentials(Credentials::Basic(auth_string.into()))
    }

    /// A key, sent as a bearer token.
    pub fn api_key(self, key: impl Into<String>) -> Self {
        self.credentials(Credentials::Bearer(key.into()))
    }

    fn credentials(mut self, credentials: Credentials) -> Self {
        self.settings.credentials = Some(credentials);
        self.settings.credentials_from = Source::Given;
        self
    }

    /// A file of certificates, in PEM, that are trusted besides those of the system.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.ca_file = Some(path.into());
        self
    }

    /// How the client names itself. Lists of leases and events show it.
    pub fn user_agent(mut self, name: impl Into<String>) -> Self {
        self.user_agent = name.into();
        self
    }

    /// For how long a request that fails is sent again where that is safe; 10 s unless it is set.
    /// Renewals go on until their lease is lost.
    pub fn retry_for(mut self, retry_for: Duration) -> Self {
        self.retry_for = retry_for;
        self
    }

    /// How long one attempt of a request may take; 30 s unless it is set. An acquire that waits may
    /// take as long as it waits in addition.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Makes the client. It connects with its first request.
    ///
    /// # Errors
    /// If the URL is none, the credentials cannot be sent, or certificates cannot be read.
    pub fn build(mut self) -> Result<Client, SettingsError> {
        let transport = Transport::new(&mut self.settings, &self.user_agent, self.timeout)?;
        Ok(Client::new(self.settings, transport, self.retry_for))
    }
}
