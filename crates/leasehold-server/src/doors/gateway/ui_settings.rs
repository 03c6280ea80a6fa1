//! `/ui-settings`: the upstream tells its pages where its API is, by default at its own address.
//! Pages that came through this server have to go on through it, so that address becomes ours.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::Gateway;
use crate::config::UpstreamUrl;
use crate::http::address;
use crate::upstream::{Answer, By};

pub(super) const PATH: &str = "/ui-settings";

/// Passes the settings of the pages on.
pub(super) async fn pass(gateway: &Gateway, request: Request) -> Response {
    let (head, _) = request.into_parts();
    let path = head.uri.path_and_query().map_or(PATH, |path| path.as_str());
    let by = By::Client(&head.headers);
    match gateway.upstream.call(Method::GET, path, None, by).await {
        Ok(answer) => {
            let ours = address::origin(&head.headers, &head.uri);
            rewritten(answer, gateway.upstream.url(), &ours).into_response()
        }
        Err(error) => error.into_response(),
    }
}

/// The same answer, with our address for the upstream's.
fn rewritten(mut answer: Answer, upstream: &UpstreamUrl, ours: &str) -> Answer {
    if answer.status != StatusCode::OK || ours.is_empty() {
        return answer;
    }
    let mut settings = answer.json();
    let Some(Value::String(api_url)) = settings.get_mut("api_url") else { return answer };
    let Ok(uri) = api_url.parse::<Uri>() else { return answer };
    if !is_own(&uri, upstream) {
        return answer;
    }
    *api_url = format!("{ours}{}", uri.path().trim_end_matches('/'));
    drop_validators(&mut answer.headers);
    Answer { body: settings.to_string().into(), ..answer }
}

/// Whether this is the upstream's own address. An address of the local machine, whatever its port,
/// is the default that Prefect falls back to, and not a choice of its operator.
fn is_own(uri: &Uri, upstream: &UpstreamUrl) -> bool {
    let Some(host) = uri.host() else { return false };
    let usual = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    let port = uri.port_u16().unwrap_or(usual);
    let is_named = host.eq_ignore_ascii_case(upstream.authority().host());
    (is_named && port == upstream.port()) || is_local(host)
}

fn is_local(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let is_local = |address: IpAddr| address.is_loopback() || address.is_unspecified();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(is_local)
}

/// What no longer fits the body.
fn drop_validators(headers: &mut HeaderMap) {
    for name in [header::CONTENT_LENGTH, header::ETAG, header::LAST_MODIFIED] {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_leads_past_us_becomes_ours_and_another_one_stays() {
        let upstream = "http://prefect:4700".parse().unwrap();
        let shown = |api_url: &str| {
            let body = serde_json::json!({"api_url": api_url, "flags": ["x"]}).to_string().into();
            let answer = Answer { status: StatusCode::OK, headers: HeaderMap::new(), body };
            let settings = rewritten(answer, &upstream, "https://limits.example").json();
            assert_eq!(settings["flags"][0], "x");
            settings["api_url"].as_str().unwrap().to_owned()
        };
        for own in [
            "http://prefect:4700/api",
            "http://PREFECT:4700/api/",
            "http://127.0.0.1:4200/api",
            "http://localhost:4200/api",
            "http://0.0.0.0:4700/api",
            "http://[::1]:4200/api",
        ] {
            assert_eq!(shown(own), "https://limits.example/api", "{own}");
        }
        for chosen in ["https://prefect.example/api", "http://prefect:80/api", "/api"] {
            assert_eq!(shown(chosen), chosen);
        }
    }
}
