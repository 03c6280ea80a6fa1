//! One attempt of one request: the URL, the headers, the CSRF token, and what the network said.
//! Decides nothing about further attempts.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Response, Url, redirect};
use serde::de::DeserializeOwned;

use crate::answer::Answer;
use crate::csrf::{self, Csrf};
use crate::error::Error;
use crate::settings::{Credentials, Settings};
use crate::source::SettingsError;
use crate::tls;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The connections to one server.
pub(crate) struct Transport {
    http: reqwest::Client,
    /// Without a slash at its end, and without a password.
    url: String,
    csrf: Csrf,
    timeout: Duration,
}

/// A request, as often as it is sent.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// Below the URL of the API, with its query.
    pub(crate) path: String,
    pub(crate) body: Option<Bytes>,
    pub(crate) headers: HeaderMap,
    /// How long an attempt may take; the client's if it is absent.
    pub(crate) timeout: Option<Duration>,
}

impl Transport {
    pub(crate) fn new(
        settings: &mut Settings,
        user_agent: &str,
        timeout: Duration,
    ) -> Result<Self, SettingsError> {
        let url = parse(settings)?;
        let mut headers = HeaderMap::new();
        if let Some(credentials) = &settings.credentials {
            let text = match credentials {
                Credentials::Basic(auth_string) => {
                    format!("Basic {}", STANDARD.encode(auth_string))
                }
                Credentials::Bearer(key) => format!("Bearer {key}"),
            };
            let from = settings.credentials_from.clone();
            let mut value =
                HeaderValue::try_from(text).map_err(|_| SettingsError::Credentials(from))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let is_https = url.scheme() == "https";
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::config(is_https, settings.ca_file.as_deref())?)
            .http1_only()
            // A redirected POST would become a GET.
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT.min(timeout))
            .default_headers(headers)
            .user_agent(user_agent)
            .build()
            .map_err(|error| SettingsError::Tls(cause(&error)))?;
        Ok(Self { http, url: settings.url.clone(), csrf: Csrf::new(), timeout })
    }

    /// Sends it once, with another attempt if only the CSRF token was missing. An answer that is no
    /// success is an error.
    pub(crate) async fn send(&self, call: &Call) -> Result<Answer, Error> {
        let answer = self.attempt(call).await?;
        let is_refused = csrf::is_refusal(&answer);
        let answer = if is_refused && self.fetch_token(call.timeout).await? {
            self.attempt(call).await?
        } else {
            answer
        };
        if answer.is_success() { Ok(answer) } else { Err(self.error_of(&answer, call)) }
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The body of an answer.
    pub(crate) fn read<A: DeserializeOwned>(&self, answer: &Answer) -> Result<A, Error> {
        answer
            .read()
            .map_err(|error| self.unexpected(answer.status, format!("cannot read it: {error}")))
    }

    pub(crate) fn unexpected(&self, status: u16, detail: String) -> Error {
        Error::Unexpected { url: self.url.clone(), status, detail }
    }

    /// Sends a read, and gives the answer before its body has come.
    pub(crate) async fn open(&self, call: &Call) -> Result<Response, Error> {
        let response = self.request(call).send().await.map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let answer = Answer::of(response).await.map_err(|error| self.unreachable(&error))?;
        Err(self.error_of(&answer, call))
    }

    fn error_of(&self, answer: &Answer, call: &Call) -> Error {
        let path = call.path.split('?').next().unwrap_or_default();
        Error::from_answer(answer, &self.url, path)
    }

    async fn attempt(&self, call: &Call) -> Result<Answer, Error> {
        let request = self.request(call).timeout(call.timeout.unwrap_or(self.timeout));
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        // The server has seen the request by now.
        Answer::of(response).await.map_err(|error| Error::Unreachable {
            url: self.url.clone(),
            cause: cause(&error),
            is_unsent: false,
        })
    }

    fn request(&self, call: &Call) -> reqwest::RequestBuilder {
        let url = format!("{}{}", self.url, call.path);
        let mut request = self.http.request(call.method.clone(), url).headers(call.headers.clone());
        if let Some(body) = &call.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.clone());
        }
        if call.method != Method::GET
            && let Some(token) = self.csrf.token()
        {
            request = request
                .header(csrf::TOKEN_HEADER, token)
                .header(csrf::CLIENT_HEADER, self.csrf.client());
        }
        request
    }

    /// `false` if the server gives none.
    async fn fetch_token(&self, timeout: Option<Duration>) -> Result<bool, Error> {
        let call = Call {
            method: Method::GET,
            path: self.csrf.path(),
            body: None,
            headers: HeaderMap::new(),
            timeout: Some(timeout.unwrap_or(self.timeout).min(self.timeout)),
        };
        let answer = self.attempt(&call).await?;
        // A server may look for the token of a write before it looks at its credentials.
        if answer.status == 401 {
            return Err(self.error_of(&answer, &call));
        }
        Ok(self.csrf.learn(&answer))
    }

    /// The server has ended a stream.
    pub(crate) fn closed(&self) -> Error {
        let cause = "the server has closed the stream".to_owned();
        Error::Unreachable { url: self.url.clone(), cause, is_unsent: false }
    }

    pub(crate) fn unreachable(&self, error: &reqwest::Error) -> Error {
        Error::Unreachable {
            url: self.url.clone(),
            cause: cause(error),
            is_unsent: error.is_connect() || error.is_builder(),
        }
    }
}

/// The URL of the settings. Its user and password move to the credentials.
fn parse(settings: &mut Settings) -> Result<Url, SettingsError> {
    let wrong = |why: &str| {
        let url = settings.url.clone();
        let from = settings.url_from.clone();
        Err(SettingsError::Url { url, from, why: why.to_owned() })
    };
    let mut url = match Url::parse(settings.url.trim()) {
        Ok(url) => url,
        Err(error) => return wrong(&error.to_string()),
    };
    if !matches!(url.scheme(), "http" | "https") {
        return wrong("it must begin with http:// or https://");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return wrong("it must have neither a query nor a fragment");
    }
    if !url.username().is_empty() || url.password().is_some() {
        let text = format!("{}:{}", url.username(), url.password().unwrap_or_default());
        // Neither fails for a URL with a host, which `http` has.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        if settings.credentials.is_none() {
            settings.credentials = Some(Credentials::Basic(decoded(&text)));
            settings.credentials_from = settings.url_from.clone();
        }
    }
    url.as_str().trim_end_matches('/').clone_into(&mut settings.url);
    Ok(url)
}

/// A text in which `%41` stands for `A`.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).filter(|_| *first == b'%');
        let byte = hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The innermost reason, which says most.
fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return if error.is_connect() { "no connection in time" } else { "no answer in time" }
            .into();
    }
    let mut reason: &dyn std::error::Error = error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    reason.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_the_url_becomes_credentials() {
        let mut settings =
            Settings { url: "http://a:p%40w@h:1/api/".to_owned(), ..Settings::default() };
        assert!(parse(&mut settings).is_ok());
        assert_eq!(settings.url, "http://h:1/api");
        assert_eq!(settings.credentials, Some(Credentials::Basic("a:p@w".to_owned())));
    }

    #[test]
    fn what_is_no_url_of_an_api_is_refused() {
        for url in ["", "localhost:4200", "ftp://a/api", "http://a/api?x=1", "http://"] {
            let mut settings = Settings { url: url.to_owned(), ..Settings::default() };
            assert!(parse(&mut settings).is_err(), "{url}");
        }
    }
}
