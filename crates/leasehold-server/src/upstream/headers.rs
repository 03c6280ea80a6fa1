//! The headers of a request and of an answer that pass this server. Those that belong to one
//! connection stay behind (RFC 9110, 7.6.1). `Host` goes along, so that the upstream's redirects
//! name the address that the client used, unless the upstream is chosen by its own name.

use axum::extract::Request;
use axum::http::uri::{Authority, Uri};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use hyper::Response;

use crate::access::peer::Connected;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// The headers that belong to one connection, besides those that `Connection` names.
const OF_ONE_CONNECTION: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Prepares a request for the upstream, and notes where it comes from.
pub(super) fn for_upstream(request: &mut Request) {
    let connected = request.extensions_mut().remove::<Connected>();
    let headers = request.headers_mut();
    strip(headers);
    if let Some(Connected(address)) = connected {
        let address = address.to_canonical();
        let mut chain = String::new();
        for known in headers.get_all(X_FORWARDED_FOR) {
            if let Ok(known) = known.to_str() {
                chain.push_str(known);
                chain.push_str(", ");
            }
        }
        chain.push_str(&address.to_string());
        if let Ok(chain) = HeaderValue::try_from(chain) {
            headers.insert(X_FORWARDED_FOR, chain);
        }
    }
    if !headers.contains_key(X_FORWARDED_PROTO) {
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("http"));
    }
}

/// Leaves out the name by which the client addressed this server. The client of the upstream puts
/// the upstream's in its place.
pub(super) fn by_name(headers: &mut HeaderMap) {
    if let Some(host) = headers.remove(header::HOST) {
        headers.entry(X_FORWARDED_HOST).or_insert(host);
    }
}

/// Prepares an answer for the client.
pub(super) fn for_client<B>(response: &mut Response<B>) {
    strip(response.headers_mut());
}

/// A redirect to the upstream itself leads here: what is left of it is the path.
pub(super) fn lead_here(headers: &mut HeaderMap, upstream: &Authority) {
    let Some(location) = headers.get(header::LOCATION) else { return };
    let Ok(location) = Uri::try_from(location.as_bytes()) else { return };
    if location.authority() != Some(upstream) {
        return;
    }
    let path = location.path_and_query().map_or("/", |path| path.as_str());
    if let Ok(path) = HeaderValue::from_str(path) {
        headers.insert(header::LOCATION, path);
    }
}

/// The protocol that a message asks for or agrees to.
pub(super) fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    headers.get(header::UPGRADE).cloned()
}

/// Asks for a protocol on the next connection, or agrees to it.
pub(super) fn set_upgrade(headers: &mut HeaderMap, protocol: Option<HeaderValue>) {
    if let Some(protocol) = protocol {
        headers.insert(header::UPGRADE, protocol);
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    }
}

/// The headers of a client that hold for a request of ours in its name: all that are not about its
/// body or its connection.
pub(super) fn of_client(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    strip(&mut headers);
    for name in [
        header::HOST,
        header::CONTENT_LENGTH,
        header::CONTENT_TYPE,
        header::CONTENT_ENCODING,
        header::ACCEPT_ENCODING,
        header::EXPECT,
    ] {
        headers.remove(name);
    }
    headers
}

fn strip(headers: &mut HeaderMap) {
    if headers.contains_key(header::TRANSFER_ENCODING) {
        // A length beside chunks is not that of the body (RFC 9112, 6.3).
        headers.remove(header::CONTENT_LENGTH);
    }
    if headers.contains_key(header::CONNECTION) {
        let lines = headers.get_all(header::CONNECTION).iter();
        let named: Vec<HeaderName> = lines
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(','))
            .filter_map(|name| name.trim().parse().ok())
            .collect();
        for name in named {
            // `Connection: host` would take the request's address away.
            if name != header::HOST && name != header::CONTENT_LENGTH {
                headers.remove(name);
            }
        }
    }
    for name in &OF_ONE_CONNECTION {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn an_upstream_that_is_chosen_by_name_is_asked_by_its_own_and_redirects_here() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("limits.example"));
        by_name(&mut headers);
        assert_eq!(headers.get(header::HOST), None);
        assert_eq!(headers[X_FORWARDED_HOST], "limits.example");

        let upstream = Authority::from_static("prefect.example:4200");
        for (location, here) in [
            ("http://prefect.example:4200/api/flows/?a=b", "/api/flows/?a=b"),
            ("http://prefect.example/api/flows/", "http://prefect.example/api/flows/"),
            ("/v2", "/v2"),
            ("https://docs.prefect.io/", "https://docs.prefect.io/"),
        ] {
            headers.insert(header::LOCATION, HeaderValue::from_static(location));
            lead_here(&mut headers, &upstream);
            assert_eq!(headers[header::LOCATION], here);
        }
    }

    #[test]
    fn headers_of_one_connection_stay_behind_and_the_chain_of_addresses_grows() {
        let mut request = Request::builder()
            .header("host", "leases.example")
            .header("connection", "keep-alive, X-Secret")
            .header("keep-alive", "timeout=5")
            .header("x-secret", "1")
            .header("te", "trailers")
            .header("transfer-encoding", "chunked")
            .header("content-length", "5")
            .header("authorization", "Basic eDp5")
            .header("x-forwarded-for", "192.0.2.1")
            .header("x-forwarded-for", "192.0.2.2")
            .body(Body::empty())
            .unwrap();
        request.extensions_mut().insert(Connected("::ffff:10.0.0.1".parse().unwrap()));
        for_upstream(&mut request);
        let mut left: Vec<_> = request
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        left.sort();
        assert_eq!(
            left,
            [
                "authorization: Basic eDp5",
                "host: leases.example",
                "x-forwarded-for: 192.0.2.1, 192.0.2.2, 10.0.0.1",
                "x-forwarded-proto: http",
            ]
        );
    }
}
