//! Where a Prefect server and its leases are, read from a URL.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// A Prefect server: its API, or its database.
#[derive(Clone)]
pub enum Place {
    /// The base address of the API of a running server, such as `http://localhost:4200/api`.
    Api(String),
    /// The SQLite file of a stopped server.
    Sqlite(PathBuf),
    /// A PostgreSQL database, as `tokio-postgres` reads it.
    Postgres(String),
}

/// Where Prefect keeps its leases.
#[derive(Clone)]
pub enum LeasePlace {
    /// A directory with a file for each lease.
    Files(PathBuf),
    /// A Redis.
    Redis(String),
}

/// A URL that names no such place.
#[derive(Debug, thiserror::Error)]
#[error("{shown:?} {wrong}")]
pub struct PlaceError {
    shown: String,
    wrong: &'static str,
}

const PLACES: &str = "names no Prefect server: give http(s)://host:port/api, sqlite:///path of \
                      prefect.db, or postgresql://user@host/database";
const LEASE_PLACES: &str = "names no storage of leases: give file:///path of the directory \
                            concurrency_leases, or redis://host";

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(url: &str) -> Result<Self, PlaceError> {
        let wrong = || PlaceError { shown: without_password(url), wrong: PLACES };
        let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
        match scheme.split('+').next().unwrap_or_default() {
            "http" | "https" if !rest.is_empty() => {
                Ok(Self::Api(url.trim_end_matches('/').to_owned()))
            }
            "sqlite" => sqlite_path(rest).map(Self::Sqlite).ok_or_else(wrong),
            "postgresql" | "postgres" if !rest.is_empty() => {
                // SQLAlchemy's driver is left out. asyncpg has another name for the option, and
                // certificates are verified here whenever there is TLS.
                let rest = ["verify-full", "verify-ca"]
                    .iter()
                    .fold(rest.replace("?ssl=", "?sslmode="), |rest, mode| {
                        rest.replace(&format!("sslmode={mode}"), "sslmode=require")
                    });
                Ok(Self::Postgres(format!("postgresql://{rest}")))
            }
            _ => Err(wrong()),
        }
    }
}

/// SQLAlchemy writes `sqlite:///relative` and `sqlite:////absolute`; a path that begins at the root
/// is tried as such first.
fn sqlite_path(rest: &str) -> Option<PathBuf> {
    let path = rest.split('?').next()?.strip_prefix('/')?;
    let absolute = PathBuf::from(format!("/{}", path.trim_start_matches('/')));
    if path.is_empty() || path == ":memory:" {
        None
    } else if path.starts_with('/') || absolute.exists() {
        Some(absolute)
    } else {
        Some(PathBuf::from(path))
    }
}

impl FromStr for LeasePlace {
    type Err = PlaceError;

    fn from_str(url: &str) -> Result<Self, PlaceError> {
        let wrong = || PlaceError { shown: without_password(url), wrong: LEASE_PLACES };
        match url.split_once("://") {
            Some(("file", path)) if !path.is_empty() => Ok(Self::Files(PathBuf::from(path))),
            Some(("redis" | "rediss", rest)) if !rest.is_empty() => Ok(Self::Redis(url.to_owned())),
            None if !url.is_empty() => Ok(Self::Files(PathBuf::from(url))),
            _ => Err(wrong()),
        }
    }
}

/// Whether a URL has a password in it.
pub fn is_secret(url: &str) -> bool {
    without_password(url) != url
}

/// A URL without its password.
pub fn without_password(url: &str) -> String {
    let shown = (|| {
        let (scheme, rest) = url.split_once("://")?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let at = rest[..end].rfind('@')?;
        let user = rest[..at].split(':').next()?;
        (user.len() < at).then(|| format!("{scheme}://{user}:***{}", &rest[at..]))
    })();
    let shown = shown.unwrap_or_else(|| url.to_owned());
    match shown.split_once("password=") {
        Some((before, after)) => {
            let rest = after.find('&').map_or("", |at| &after[at..]);
            format!("{before}password=***{rest}")
        }
        None => shown,
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Api(url) | Self::Postgres(url) => f.write_str(&without_password(url)),
            Self::Sqlite(path) => write!(f, "{}", path.display()),
        }
    }
}

impl fmt::Display for LeasePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Files(path) => write!(f, "{}", path.display()),
            Self::Redis(url) => f.write_str(&without_password(url)),
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for LeasePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(url: &str) -> String {
        url.parse::<Place>().map_or_else(|error| error.to_string(), |place| place.to_string())
    }

    #[test]
    fn prefects_own_urls_are_read() {
        for (url, shown) in [
            ("http://prefect:4200/api/", "http://prefect:4200/api"),
            ("sqlite+aiosqlite:////root/.prefect/none.db", "/root/.prefect/none.db"),
            ("sqlite:///there/is/none.db", "there/is/none.db"),
            ("sqlite+aiosqlite:////var/p.db?timeout=60", "/var/p.db"),
            (
                "postgresql+asyncpg://u:p@h:5432/d?ssl=require",
                "postgresql://u:***@h:5432/d?sslmode=require",
            ),
        ] {
            assert_eq!(place(url), shown, "{url}");
        }
        for wrong in ["prefect.db", "sqlite://", "sqlite:///:memory:", "mysql://h/d", "http://"] {
            assert!(place(wrong).contains("names no Prefect server"), "{wrong}");
        }
    }

    #[test]
    fn no_password_is_shown() {
        for (url, shown) in [
            ("postgresql://u:a@b@h/d", "postgresql://u:***@h/d"),
            ("postgresql://h/d?user=u&password=x&a=b", "postgresql://h/d?user=u&password=***&a=b"),
            ("redis://:pw@h", "redis://:***@h"),
            ("http://h/api", "http://h/api"),
        ] {
            assert_eq!(without_password(url), shown);
        }
        assert!(is_secret("redis://:pw@h") && !is_secret("redis://h"));
    }
}
