//! The Prefect server behind this one: requests that are passed on to it as they are, and requests
//! of our own. This folder knows no path of its API except that of CSRF tokens.

mod call;
mod connect;
mod error;
mod greet;
mod headers;
mod pulse;
mod seen;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderValue, Method, StatusCode, Uri, Version, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::upgrade::OnUpgrade;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use self::call::OurCsrf;
use self::connect::Connect;
use self::pulse::Pulse;
use self::seen::Seen;
use crate::config::UpstreamUrl;
use crate::ids;

pub(crate) use self::call::{Answer, By};
pub use self::connect::NoTls;
pub(crate) use self::error::UpstreamError;
pub use self::greet::UpstreamRefused;

/// A Prefect server closes a connection that is idle for five seconds. One that is about to be
/// closed is not used again.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
/// How many idle connections are kept.
const IDLE_MAX: usize = 256;

/// The Prefect server behind this one.
#[derive(Clone)]
pub struct Upstream(Arc<Inner>);

struct Inner {
    url: UpstreamUrl,
    /// Whether it is asked by its own name, and not by the one that the client used.
    by_name: bool,
    client: Client<Connect, Body>,
    authorization: Option<HeaderValue>,
    csrf: OurCsrf,
    pulse: Pulse,
    seen: Seen,
    /// Marks the requests that this server has passed on.
    mark: HeaderValue,
}

/// Both halves of a connection that is no longer HTTP.
pub(crate) struct Tunnel {
    pub(crate) client: OnUpgrade,
    pub(crate) upstream: OnUpgrade,
}

impl Upstream {
    /// A client of the server at `url`. Our own requests have the credentials in `auth_string`. If
    /// it is asked `by_name`, `Host` is that of `url` in each request.
    pub(crate) fn new(
        url: &UpstreamUrl,
        by_name: bool,
        auth_string: Option<&str>,
    ) -> Result<Self, NoTls> {
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_MAX)
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .build(Connect::new(url)?);
        let authorization = auth_string.and_then(|auth_string| {
            let credentials = format!("Basic {}", BASE64_STANDARD.encode(auth_string));
            HeaderValue::try_from(credentials).ok()
        });
        let mark = format!("1.1 leasehold-{}", ids::random().simple());
        Ok(Self(Arc::new(Inner {
            url: url.clone(),
            by_name,
            client,
            authorization,
            csrf: OurCsrf::default(),
            pulse: Pulse::default(),
            seen: Seen::default(),
            mark: HeaderValue::try_from(mark).unwrap_or(HeaderValue::from_static("1.1 leasehold")),
        })))
    }

    /// The address of the server.
    pub(crate) fn url(&self) -> &UpstreamUrl {
        &self.0.url
    }

    /// Passes a request on. The answer is the server's, or 502 if there is none. Bodies stream in
    /// both directions.
    pub(crate) async fn pass(&self, request: Request) -> Response {
        self.send(request).await.unwrap_or_else(IntoResponse::into_response)
    }

    /// As [`pass`](Self::pass), with the reason if there is no answer.
    pub(crate) async fn send(&self, mut request: Request) -> Result<Response, UpstreamError> {
        headers::for_upstream(&mut request);
        let mut response = self.ask_in_the_name_of_a_client(request).await?;
        headers::for_client(&mut response);
        Ok(response.map(Body::new))
    }

    /// Passes a request on that asks for another protocol, such as that of WebSockets. If the
    /// server agrees, the answer is 101, and the bytes of both halves are to be carried across.
    pub(crate) async fn open(
        &self,
        mut request: Request,
    ) -> Result<(Response, Option<Tunnel>), UpstreamError> {
        let client = hyper::upgrade::on(&mut request);
        let asked = headers::upgrade(request.headers());
        headers::for_upstream(&mut request);
        headers::set_upgrade(request.headers_mut(), asked);
        let mut response = self.ask_in_the_name_of_a_client(request).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            headers::for_client(&mut response);
            return Ok((response.map(Body::new), None));
        }
        let upstream = hyper::upgrade::on(&mut response);
        let agreed = headers::upgrade(response.headers());
        headers::for_client(&mut response);
        headers::set_upgrade(response.headers_mut(), agreed);
        Ok((response.map(|_| Body::empty()), Some(Tunnel { client, upstream })))
    }

    async fn ask_in_the_name_of_a_client(
        &self,
        mut request: Request,
    ) -> Result<hyper::Response<hyper::body::Incoming>, UpstreamError> {
        if !self.0.by_name {
            return self.ask(request).await;
        }
        headers::by_name(request.headers_mut());
        let mut response = self.ask(request).await?;
        headers::lead_here(response.headers_mut(), self.0.url.authority());
        Ok(response)
    }

    async fn ask(
        &self,
        mut request: Request,
    ) -> Result<hyper::Response<hyper::body::Incoming>, UpstreamError> {
        let Inner { url, client, pulse, .. } = &*self.0;
        if request.headers().get_all(header::VIA).iter().any(|via| via == self.0.mark) {
            return Err(UpstreamError::Loop { url: url.to_string() });
        }
        if request.method() == Method::CONNECT {
            return Err(UpstreamError::unaddressable(url));
        }
        request.headers_mut().append(header::VIA, self.0.mark.clone());
        let path = request.uri().path_and_query().cloned();
        let uri = Uri::builder()
            .scheme(url.scheme().clone())
            .authority(url.authority().clone())
            .path_and_query(path.unwrap_or(PathAndQuery::from_static("/")));
        *request.uri_mut() = uri.build().map_err(|_| UpstreamError::unaddressable(url))?;
        *request.version_mut() = Version::HTTP_11;
        let answered = client.request(request).await;
        let answered = answered.map_err(|error| UpstreamError::of(&error, url));
        pulse.feel(url, answered.as_ref().err());
        answered
    }

    /// What the server said last of itself.
    pub(crate) fn seen(&self) -> &Seen {
        &self.0.seen
    }

    /// Whether it has answered something within the last ten seconds. If so, one that gives no
    /// answer in a shorter time is slow, and not dead.
    pub(crate) fn has_answered_lately(&self) -> bool {
        self.0.pulse.has_answered_lately()
    }

    /// Why the last request got no answer, if it got none.
    pub(crate) fn illness(&self) -> Option<String> {
        self.0.pulse.illness()
    }
}
