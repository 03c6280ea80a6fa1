//! Where Redis is: one server, sentinels that know it, or a cluster.

use std::fmt;
use std::str::FromStr;

use redis::{ConnectionInfo, IntoConnectionInfo};

/// The address of a Redis, read from a URL:
///
/// - `redis://[user:password@]host[:port][/db]`, `rediss://…` for TLS, `redis+unix:///path?db=0`
/// - `redis+sentinel://[user:password@]host[:port][,host[:port]…]/master[/db]`,
///   `rediss+sentinel://…` for TLS
/// - `redis+cluster://[user:password@]host[:port][,host[:port]…]`, `rediss+cluster://…` for TLS
///
/// Printed, it shows no password.
#[derive(Clone)]
pub struct Address {
    pub(crate) place: Place,
    shown: String,
}

#[derive(Clone)]
pub(crate) enum Place {
    Server(ConnectionInfo),
    Sentinels { sentinels: Vec<ConnectionInfo>, master: String, node: ConnectionInfo },
    Cluster(Vec<ConnectionInfo>),
}

/// A URL that names no Redis.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// The URL cannot be read.
    #[error(
        "{url:?} is no address of a Redis: {cause}; expected something like redis://127.0.0.1:6379/0"
    )]
    Unreadable {
        /// The URL, without its password.
        url: String,
        /// What is wrong with it.
        cause: String,
    },
}

impl Address {
    /// The address of one server without TLS.
    ///
    /// # Errors
    /// When host and port make no URL.
    pub fn server(host: &str, port: u16, db: i64) -> Result<Self, AddressError> {
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        format!("redis://{host}:{port}/{db}").parse()
    }

    /// Whether a URL has something in it that is not shown, as a password is.
    #[must_use]
    pub fn is_secret(url: &str) -> bool {
        without_password(url) != url
    }

    /// The number of the database.
    #[must_use]
    pub fn db(&self) -> i64 {
        match &self.place {
            Place::Server(info) | Place::Sentinels { node: info, .. } => info.redis_settings().db(),
            Place::Cluster(_) => 0,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({})", self.shown)
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(url: &str) -> Result<Self, AddressError> {
        let shown = without_password(url);
        let unreadable = |cause: String| AddressError::Unreadable { url: shown.clone(), cause };
        let (scheme, rest) =
            url.split_once("://").ok_or_else(|| unreadable("no scheme".to_owned()))?;
        let Some((tls @ ("redis" | "rediss"), kind @ ("sentinel" | "cluster"))) =
            scheme.split_once('+')
        else {
            let place = Place::Server(connection(url).map_err(unreadable)?);
            return Ok(Self { place, shown });
        };
        let (login, rest) = match rest.rsplit_once('@') {
            Some((login, rest)) => (format!("{login}@"), rest),
            None => (String::new(), rest),
        };
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let hosts: Vec<&str> = hosts.split(',').filter(|host| !host.is_empty()).collect();
        if hosts.is_empty() {
            return Err(unreadable("no host".to_owned()));
        }
        let place = if kind == "cluster" {
            let nodes: Result<Vec<_>, _> =
                hosts.iter().map(|host| connection(&format!("{tls}://{login}{host}/"))).collect();
            Place::Cluster(nodes.map_err(unreadable)?)
        } else {
            let (master, db) = path.split_once('/').unwrap_or((path, "0"));
            if master.is_empty() {
                return Err(unreadable(
                    "no name of the master, as in redis+sentinel://host/mymaster".to_owned(),
                ));
            }
            let sentinels: Result<Vec<_>, _> = hosts
                .iter()
                .map(|host| connection(&format!("redis://{}/", with_port(host, 26379))))
                .collect();
            Place::Sentinels {
                sentinels: sentinels.map_err(unreadable)?,
                master: master.to_owned(),
                node: connection(&format!("{tls}://{login}localhost/{db}")).map_err(unreadable)?,
            }
        };
        Ok(Self { place, shown })
    }
}

fn connection(url: &str) -> Result<ConnectionInfo, String> {
    url.into_connection_info().map_err(|error| error.to_string())
}

fn with_port(host: &str, port: u16) -> String {
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if has_port { host.to_owned() } else { format!("{host}:{port}") }
}

/// The parts of the query that are shown; any other may be a secret.
const SHOWN_IN_QUERY: [&str; 3] = ["db", "protocol", "user"];

/// A login without a colon may be a password that was meant: it is not shown either. Passwords may
/// hold what should have been escaped, so that the last `@` counts, and where one stands behind a
/// query nothing is sure.
fn without_password(url: &str) -> String {
    let after_scheme = url.find("://").map_or(0, |at| at + "://".len());
    let (scheme, rest) = url.split_at(after_scheme);
    // Of fragments, the one that says something about the connection is shown.
    let (rest, insecure) =
        rest.strip_suffix("#insecure").map_or((rest, ""), |rest| (rest, "#insecure"));
    let (login, rest) = match rest.rsplit_once('@') {
        None => (String::new(), rest),
        Some((login, _)) if login.contains(['?', '#']) => return format!("{scheme}***"),
        Some((login, rest)) => match login.split_once(':') {
            Some((user, _)) => (format!("{user}:***@"), rest),
            None => ("***@".to_owned(), rest),
        },
    };
    let (place, query) = match rest.split_once(['?', '#']) {
        None => (rest, String::new()),
        Some((place, query)) => (place, format!("?{}", without_values(query))),
    };
    format!("{scheme}{login}{place}{query}{insecure}")
}

fn without_values(query: &str) -> String {
    let shown = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) if !SHOWN_IN_QUERY.contains(&name) => format!("{name}=***"),
        Some(_) => pair.to_owned(),
        None => "***".to_owned(),
    });
    shown.collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_never_shown() {
        let address: Address = "rediss://ops:hunter2@example.org:6380/3".parse().unwrap();
        assert_eq!(address.to_string(), "rediss://ops:***@example.org:6380/3");
        assert_eq!(format!("{address:?}"), "Address(rediss://ops:***@example.org:6380/3)");
        assert_eq!(address.db(), 3);
    }

    #[test]
    fn the_password_of_an_address_that_cannot_be_read_is_not_shown_either() {
        for (url, shown) in [
            ("ops:hunter2@example.org:6379", "ops:***@example.org:6379"),
            (":hunter2@example.org/3", ":***@example.org/3"),
            ("redis:/ops:hunter2@example.org", "redis:***@example.org"),
            ("http://ops:hunter2@example.org", "http://ops:***@example.org"),
        ] {
            let error = url.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(shown) && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn passwords_are_hidden_wherever_they_stand() {
        for (url, shown) in [
            (
                "redis+unix:///run/redis.sock?db=2&pass=hunter2",
                "redis+unix:///run/redis.sock?db=2&pass=***",
            ),
            ("redis+unix:///s?user=ops&pass=hunter2", "redis+unix:///s?user=ops&pass=***"),
            ("redis://hunter2@example.org/1", "redis://***@example.org/1"),
            ("redis://h/0?password=hunter2", "redis://h/0?password=***"),
            ("redis://h/0?hunter2", "redis://h/0?***"),
            ("redis://h/0?password=a@hunter2", "redis://***"),
            ("redis://h?x:hunter2@y", "redis://***"),
            ("rediss://:hunter2@h/#insecure", "rediss://:***@h/#insecure"),
            ("redis://:hunt/er2@h", "redis://:***@h"),
            ("redis://:hunt?er2@h", "redis://***"),
            ("redis+sentinel://u:hunter2@a,b/m/2", "redis+sentinel://u:***@a,b/m/2"),
        ] {
            assert_eq!(without_password(url), shown);
            assert!(Address::is_secret(url), "{url}");
        }
        for url in [
            "redis://h:1/2",
            "redis+unix:///s?db=3",
            "redis+cluster://a,b",
            "redis://h?protocol=resp3",
            "rediss://h/#insecure",
        ] {
            assert!(!Address::is_secret(url), "{url}");
        }
    }

    #[test]
    fn sentinels_and_clusters_are_read() {
        let address: Address = "redis+sentinel://:pw@a,b:26380/mymaster/2".parse().unwrap();
        let Place::Sentinels { sentinels, master, .. } = &address.place else {
            panic!("{address:?}")
        };
        assert_eq!((sentinels.len(), master.as_str(), address.db()), (2, "mymaster", 2));
        let address: Address = "redis+cluster://a:7000,b:7001".parse().unwrap();
        assert!(matches!(&address.place, Place::Cluster(nodes) if nodes.len() == 2));
    }

    #[test]
    fn likely_mistakes_are_named() {
        assert!("localhost:6379".parse::<Address>().is_err());
        assert!("http://localhost".parse::<Address>().is_err());
        let error = "redis+sentinel://a".parse::<Address>().unwrap_err().to_string();
        assert!(error.contains("no name of the master"), "{error}");
    }
}
