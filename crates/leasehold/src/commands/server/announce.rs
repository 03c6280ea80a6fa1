//! What a server says when it has started: where it listens, to people on standard output; from
//! what it runs and how it is bounded, in the log; what others may do to it; and to the service
//! manager that it is ready.

use std::fs;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;

use leasehold_journal::SqliteJournal;

use super::journal::Place;
use super::log::LogFormat;
use super::options::Settings;
use super::service_manager;
use crate::args::{COMMIT, VERSION};

/// A server that listens.
pub(super) struct Started<'settings> {
    pub(super) settings: &'settings Settings,
    pub(super) address: SocketAddr,
    pub(super) connections_max: usize,
    pub(super) waiters_max: usize,
}

impl Started<'_> {
    pub(super) fn announce(&self) {
        self.log();
        self.warn();
        service_manager::ready();
        // A closed standard output is no reason not to serve.
        let _ = writeln!(io::stdout(), "{}", self.announcement());
    }

    fn auth(&self) -> &'static str {
        if self.settings.server.auth_string.is_some() { "basic" } else { "none" }
    }

    fn log(&self) {
        let Settings { data_dir, server, records, .. } = self.settings;
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            commit = COMMIT,
            address = %self.address,
            auth = self.auth(),
            data_dir = %data_dir.display(),
            journal = match &self.settings.journal {
                Place::File(_) => SqliteJournal::FILE.to_owned(),
                Place::Postgres(place) => place.0.place(),
            },
            connections_max = self.connections_max,
            waiters_max = self.waiters_max,
            upstream = server.upstream.as_ref().map(tracing::field::display),
            lease_seconds_min = server.bodies.lease_seconds_min,
            lease_seconds_default = server.bodies.lease_seconds_default,
            lease_seconds_max = server.bodies.lease_seconds_max,
            records_max = records.runs_max,
            events_max = records.events_max,
            records_age_seconds_max = records.age_seconds_max,
            "started"
        );
    }

    fn warn(&self) {
        for warning in &self.settings.warnings {
            tracing::warn!("{warning}");
        }
        if self.settings.server.auth_string.is_none() && !self.address.ip().is_loopback() {
            tracing::warn!(
                address = %self.address,
                "no password is set, and other machines reach this address: anyone there can take \
                 and revoke every lease; set --auth-string, or listen on 127.0.0.1"
            );
        }
        let data_dir = &self.settings.data_dir;
        let journal = data_dir.join(SqliteJournal::FILE);
        let is_open =
            |path| fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o077 != 0);
        if is_open(data_dir.as_path()) && is_open(journal.as_path()) {
            let directory = data_dir.display();
            tracing::warn!(
                "other users of this machine can read the data; `chmod -R go= '{directory}'` keeps \
                 them out"
            );
        }
    }

    fn announcement(&self) -> String {
        let base = format!("http://{}", usable(self.address));
        let data = self.settings.data_dir.display();
        let auth = self.auth();
        match self.settings.log_format {
            LogFormat::Json => serde_json::json!({
                "api_url": format!("{base}/api"),
                "docs_url": format!("{base}/docs"),
                "pages_url": format!("{base}/leasehold"),
                "data_dir": data.to_string(),
                "auth": auth,
                "address": self.address.to_string(),
            })
            .to_string(),
            LogFormat::Text => {
                let password = match auth {
                    "none" => "",
                    _ => "\n  export PREFECT_API_AUTH_STRING=user:password",
                };
                format!(
                    "Leasehold {VERSION} is listening.\n\n  API    {base}/api\n  Pages  \
                     {base}/leasehold\n  Docs   {base}/docs\n  Data   {data}\n  Auth   {auth}\n\n\
                     Clients of Prefect use it with\n\n  export \
                     PREFECT_API_URL={base}/api{password}\n\nStop it with Ctrl-C."
                )
            }
        }
    }
}

/// An address that a client can use. A server that listens on all of them has this machine's.
fn usable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => outward().unwrap_or(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(_) => outward().unwrap_or(Ipv6Addr::LOCALHOST.into()),
    };
    SocketAddr::new(ip, address.port())
}

/// From which address this machine reaches others, if it reaches any. Nothing is sent for it: the
/// address asked about is one for documentation.
fn outward() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_unspecified()).then_some(ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_announced_can_be_used() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        assert_eq!(usable(address("10.0.0.5:1")), address("10.0.0.5:1"));
        for all in ["0.0.0.0:42", "[::]:42"] {
            let usable = usable(address(all));
            assert!(!usable.ip().is_unspecified() && usable.port() == 42, "{usable}");
        }
    }
}
