//! The paths of limits, which this server and the upstream share. Ownership goes by limit.

use axum::extract::Request;
use axum::http::Method;
use axum::response::{IntoResponse, Response};

use super::Gateway;
use super::asked::Asked;
use super::slots::Kind;
use super::{edits, leases, pass, rows, slots};
use crate::http;
use crate::http::body::BODY_BYTES_MAX;

/// What a request about limits asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Operation {
    Create,
    Acquire(Kind),
    GiveBack(Kind),
    Release,
    Renew(String),
    List {
        tags: bool,
    },
    Read {
        limit: String,
        tags: bool,
    },
    /// Its leases and its waiters, which only we can list.
    Holders(String),
    Change(String),
    Delete {
        limit: String,
        tags: bool,
    },
    PutTag,
    ResetTag(String),
    /// The upstream's alone.
    Other,
}

/// Answers a request about limits.
pub(super) async fn limits(gateway: &Gateway, request: Request) -> Response {
    let path = super::paths::decoded(request.uri().path()).into_owned();
    let operation = operation(request.method(), &path);
    if operation == Operation::Other {
        return pass::pass(gateway, request).await;
    }
    let asked = match Asked::read(request, BODY_BYTES_MAX).await {
        Ok(asked) => asked,
        Err(error) => return error.into_response(),
    };
    if let Operation::Acquire(kind) = operation {
        return slots::acquire(gateway, kind, asked).await;
    }
    // Half of it may be done when the client hangs up, and both sides have to agree.
    let gateway = gateway.clone();
    let answering = tokio::spawn(async move { to_the_end(&gateway, operation, asked).await });
    answering.await.unwrap_or_else(|_| http::Error::Unexpected.into_response())
}

async fn to_the_end(gateway: &Gateway, operation: Operation, asked: Asked) -> Response {
    match operation {
        Operation::Create => edits::create(gateway, asked).await,
        Operation::Acquire(kind) => slots::acquire(gateway, kind, asked).await,
        Operation::GiveBack(Kind::Tags) => slots::give_tags_back(gateway, asked).await,
        Operation::GiveBack(_) => slots::give_back(gateway, asked).await,
        Operation::Release => leases::release(gateway, asked).await,
        Operation::Renew(lease) => leases::renew(gateway, &lease, asked).await,
        Operation::List { tags } => rows::list(gateway, tags, asked).await,
        Operation::Read { limit, tags } => rows::read(gateway, &limit, tags, asked).await,
        Operation::Holders(limit) => rows::holders(gateway, &limit, asked).await,
        Operation::Change(limit) => edits::change(gateway, &limit, asked).await,
        Operation::Delete { limit, tags } => edits::delete(gateway, &limit, tags, asked).await,
        Operation::PutTag => edits::put_tag(gateway, asked).await,
        Operation::ResetTag(tag) => edits::reset_tag(gateway, &tag, asked).await,
        Operation::Other => pass::pass(gateway, asked.again()).await,
    }
}

/// What a request asks for, by its method and its path.
fn operation(method: &Method, path: &str) -> Operation {
    let path = path.strip_suffix('/').unwrap_or(path);
    if let Some(rest) = path.strip_prefix("/api/v2/concurrency_limits") {
        let segments: Vec<_> = rest.split('/').skip(1).collect();
        return of_limits(method, &segments);
    }
    let rest = path.strip_prefix("/api/concurrency_limits").unwrap_or_default();
    let segments: Vec<_> = rest.split('/').skip(1).collect();
    of_tags(method, &segments)
}

fn of_limits(method: &Method, segments: &[&str]) -> Operation {
    match (method.as_str(), segments) {
        ("POST", []) => Operation::Create,
        ("POST", ["increment"]) => Operation::Acquire(Kind::Plain),
        ("POST", ["increment-with-lease"]) => Operation::Acquire(Kind::Lease),
        ("POST", ["decrement"]) => Operation::GiveBack(Kind::Plain),
        ("POST", ["decrement-with-lease"]) => Operation::Release,
        ("POST", ["leases", lease, "renew"]) => Operation::Renew((*lease).to_owned()),
        ("POST", ["filter"]) => Operation::List { tags: false },
        ("GET" | "HEAD", [limit]) => Operation::Read { limit: (*limit).to_owned(), tags: false },
        ("GET" | "HEAD", [limit, "leases" | "waiters"]) => Operation::Holders((*limit).to_owned()),
        ("PATCH", [limit]) => Operation::Change((*limit).to_owned()),
        ("DELETE", [limit]) => Operation::Delete { limit: (*limit).to_owned(), tags: false },
        _ => Operation::Other,
    }
}

fn of_tags(method: &Method, segments: &[&str]) -> Operation {
    match (method.as_str(), segments) {
        ("POST", []) => Operation::PutTag,
        ("POST", ["increment"]) => Operation::Acquire(Kind::Tags),
        ("POST", ["decrement"]) => Operation::GiveBack(Kind::Tags),
        ("POST", ["filter"]) => Operation::List { tags: true },
        ("POST", ["tag", tag, "reset"]) => Operation::ResetTag(format!("tag:{tag}")),
        ("GET" | "HEAD", ["tag", tag]) => {
            Operation::Read { limit: format!("tag:{tag}"), tags: true }
        }
        ("DELETE", ["tag", tag]) => Operation::Delete { limit: format!("tag:{tag}"), tags: true },
        ("GET" | "HEAD", [id]) => Operation::Read { limit: (*id).to_owned(), tags: true },
        ("DELETE", [id]) => Operation::Delete { limit: (*id).to_owned(), tags: true },
        _ => Operation::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_asks_for_one_thing() {
        let asked = |method: &str, path: &str| operation(&method.parse().unwrap(), path);
        let v2 = "/api/v2/concurrency_limits";
        assert_eq!(asked("POST", &format!("{v2}/increment")), Operation::Acquire(Kind::Plain));
        assert_eq!(asked("POST", &format!("{v2}/increment/")), Operation::Acquire(Kind::Plain));
        assert_eq!(
            asked("GET", &format!("{v2}/a%20b")),
            Operation::Read { limit: "a%20b".to_owned(), tags: false },
            "a path is decoded once, before"
        );
        assert_eq!(
            asked("POST", &format!("{v2}/leases/x/renew")),
            Operation::Renew("x".to_owned())
        );
        assert_eq!(asked("POST", &format!("{v2}/")), Operation::Create);
        let v1 = "/api/concurrency_limits";
        assert_eq!(asked("POST", &format!("{v1}/")), Operation::PutTag);
        assert_eq!(
            asked("POST", &format!("{v1}/tag/db/reset")),
            Operation::ResetTag("tag:db".to_owned())
        );
        assert_eq!(asked("OPTIONS", v2), Operation::Other);
    }
}
