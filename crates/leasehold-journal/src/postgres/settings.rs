//! Where a PostgreSQL server is and how it is connected to: the address, what `libpq` would take
//! from variables, and the file with the password.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

use super::tls::{Tls, TlsError, Trust};

const APPLICATION_NAME: &str = "leasehold";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// After so long without a word, the system asks whether the server is still there.
const KEEPALIVES_IDLE: Duration = Duration::from_secs(10);
/// Where Debian's servers have their sockets.
const SOCKETS: &str = "/var/run/postgresql";

/// Where a PostgreSQL server is, and how it is connected to.
#[derive(Clone, Debug)]
pub struct PostgresSettings {
    config: Config,
    tls: Tls,
    password: Password,
}

/// Where the password is. A file is read at each connection: it may be renewed.
#[derive(Clone, Debug)]
enum Password {
    /// Nowhere, or in the configuration already.
    Known,
    /// It is the first line.
    File(PathBuf),
    /// A file of lines `host:port:database:user:password`.
    Passfile(PathBuf),
}

/// Why an address is none, or a password cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// It does not begin with `postgres://`.
    #[error("the address of a PostgreSQL begins with postgres:// or postgresql://")]
    Scheme,
    /// A password in it is shown to all users of the machine, and in logs.
    #[error(
        "the address has a password in it; give it by --journal-password-file, PGPASSFILE or \
         PGPASSWORD"
    )]
    Password,
    /// It cannot be read.
    #[error("the address of the PostgreSQL cannot be read: {0}")]
    Malformed(String),
    /// A parameter has a value that it cannot have.
    #[error("{name} is '{value}', which must be {expected}")]
    Value {
        /// The parameter or variable.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it can be.
        expected: &'static str,
    },
    /// A file cannot be read.
    #[error("the file {} cannot be read: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl PostgresSettings {
    /// Whether a text is meant as such an address.
    pub fn is_address(text: &str) -> bool {
        text.starts_with("postgres://") || text.starts_with("postgresql://")
    }

    /// Reads an address as `libpq` does. What it leaves out comes from `variable`, by the names
    /// that `libpq` has for them, and at last from defaults.
    ///
    /// # Errors
    ///
    /// See [`SettingsError`].
    pub fn read(
        address: &str,
        password_file: Option<&Path>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, SettingsError> {
        if !Self::is_address(address) {
            return Err(SettingsError::Scheme);
        }
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let (address, ours) = take_parameters(address);
        let mut config: Config = address.parse().map_err(|error| malformed(&error))?;
        if config.get_password().is_some() {
            return Err(SettingsError::Password);
        }
        complete(&mut config, address.as_str(), &variable)?;
        let parameter = |name: &str, variable_name: &str| {
            let given = ours.iter().find(|(known, _)| known == name);
            given.map(|(_, value)| value.clone()).or_else(|| variable(variable_name))
        };
        let mode = parameter("sslmode", "PGSSLMODE").unwrap_or_else(|| "prefer".to_owned());
        let roots = parameter("sslrootcert", "PGSSLROOTCERT");
        let (ssl_mode, trust) = read_mode(&mode, roots.is_some())?;
        config.ssl_mode(ssl_mode);
        let tls = if ssl_mode == SslMode::Disable {
            Tls::none()?
        } else {
            let home = variable("HOME").map(PathBuf::from);
            let identity = parameter("sslcert", "PGSSLCERT").zip(parameter("sslkey", "PGSSLKEY"));
            Tls::new(trust, roots.as_deref(), home.as_deref(), identity)?
        };
        let password = match (password_file, variable("PGPASSWORD")) {
            (Some(path), _) => Password::File(path.to_owned()),
            (None, Some(password)) => {
                config.password(password);
                Password::Known
            }
            (None, None) => match parameter("passfile", "PGPASSFILE") {
                Some(path) => Password::Passfile(path.into()),
                None => home_passfile(&variable).map_or(Password::Known, Password::Passfile),
            },
        };
        let settings = Self { config, tls, password };
        // What is wrong with the file is said at the start.
        settings.complete()?;
        Ok(settings)
    }

    /// The configuration of a connection, with its password.
    pub(super) fn complete(&self) -> Result<Config, SettingsError> {
        let mut config = self.config.clone();
        let read = |path: &Path| {
            fs::read_to_string(path)
                .map_err(|error| SettingsError::File { path: path.to_owned(), error })
        };
        match &self.password {
            Password::Known => {}
            Password::File(path) => {
                config.password(read(path)?.lines().next().unwrap_or_default());
            }
            Password::Passfile(path) => {
                if let Some(password) = password_of(&config, &read(path)?) {
                    config.password(password);
                }
            }
        }
        Ok(config)
    }

    pub(super) fn tls(&self) -> &Tls {
        &self.tls
    }

    /// The place without a secret: for people, and to tell one database from another.
    pub fn place(&self) -> String {
        let hosts = self.config.get_hosts().iter().map(|host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string(),
        });
        let hosts: Vec<_> = hosts.collect();
        let ports: Vec<_> = self.config.get_ports().iter().map(u16::to_string).collect();
        let ports = if ports.is_empty() { "5432".to_owned() } else { ports.join(",") };
        let database = self.config.get_dbname().unwrap_or_default();
        format!("{}:{ports}/{database}", hosts.join(","))
    }
}

/// What a mode of `libpq` means. `require` with a file of authorities checks them, as there.
fn read_mode(mode: &str, has_roots: bool) -> Result<(SslMode, Trust), SettingsError> {
    Ok(match mode {
        "disable" => (SslMode::Disable, Trust::Anyone),
        "prefer" => (SslMode::Prefer, Trust::Anyone),
        "require" if has_roots => (SslMode::Require, Trust::Authority),
        "require" => (SslMode::Require, Trust::Anyone),
        "verify-ca" => (SslMode::Require, Trust::Authority),
        "verify-full" => (SslMode::Require, Trust::Host),
        _ => {
            return Err(SettingsError::Value {
                name: "sslmode",
                value: mode.to_owned(),
                expected: "disable, prefer, require, verify-ca or verify-full",
            });
        }
    })
}

fn malformed(error: &dyn std::error::Error) -> SettingsError {
    let reason = error.source().map_or_else(|| error.to_string(), ToString::to_string);
    SettingsError::Malformed(reason)
}

/// Takes the parameters off an address that the client library does not know.
fn take_parameters(address: &str) -> (String, Vec<(String, String)>) {
    const OURS: [&str; 5] = ["sslmode", "sslrootcert", "sslcert", "sslkey", "passfile"];
    let Some((base, query)) = address.split_once('?') else {
        return (address.to_owned(), Vec::new());
    };
    let mut ours = Vec::new();
    let mut others = Vec::new();
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        match parameter.split_once('=') {
            Some((name, value)) if OURS.contains(&name) => {
                ours.push((name.to_owned(), percent_decoded(value)));
            }
            _ => others.push(parameter),
        }
    }
    let rest = if others.is_empty() { String::new() } else { format!("?{}", others.join("&")) };
    (format!("{base}{rest}"), ours)
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let decoded = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (first, decoded) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Fills in what the address leaves out.
fn complete(
    config: &mut Config,
    address: &str,
    variable: &impl Fn(&str) -> Option<String>,
) -> Result<(), SettingsError> {
    let says = |name: &str| address.contains(&format!("{name}="));
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        let default = || if Path::new(SOCKETS).is_dir() { SOCKETS } else { "localhost" }.to_owned();
        variable("PGHOST").unwrap_or_else(default).split(',').for_each(|host| {
            config.host(host);
        });
    }
    if config.get_ports().is_empty() {
        for port in variable("PGPORT").iter().flat_map(|ports| ports.split(',')) {
            config.port(number("PGPORT", port, "a port from 1 to 65535")?);
        }
    }
    if config.get_user().is_none() {
        let user = variable("PGUSER").or_else(|| variable("USER"));
        config.user(user.unwrap_or_else(|| "postgres".to_owned()));
    }
    if config.get_dbname().is_none() {
        let user = config.get_user().unwrap_or_default().to_owned();
        config.dbname(variable("PGDATABASE").unwrap_or(user));
    }
    if config.get_application_name().is_none() {
        let name = variable("PGAPPNAME").unwrap_or_else(|| APPLICATION_NAME.to_owned());
        config.application_name(name);
    }
    if let (None, Some(options)) = (config.get_options(), variable("PGOPTIONS")) {
        config.options(options);
    }
    if config.get_connect_timeout().is_none() {
        let timeout = match variable("PGCONNECT_TIMEOUT") {
            Some(seconds) => {
                Duration::from_secs(number("PGCONNECT_TIMEOUT", &seconds, "a number of seconds")?)
            }
            None => CONNECT_TIMEOUT,
        };
        config.connect_timeout(timeout);
    }
    if !says("keepalives_idle") {
        config.keepalives_idle(KEEPALIVES_IDLE);
    }
    // A standby of PostgreSQL is no journal. Of several hosts, one that accepts writes is taken.
    config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    Ok(())
}

fn number<T: std::str::FromStr>(
    name: &'static str,
    value: &str,
    expected: &'static str,
) -> Result<T, SettingsError> {
    value.parse().map_err(|_| SettingsError::Value { name, value: value.to_owned(), expected })
}

fn home_passfile(variable: &impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let path = Path::new(&variable("HOME")?).join(".pgpass");
    path.is_file().then_some(path)
}

/// The password of the first line that fits.
fn password_of(config: &Config, passfile: &str) -> Option<String> {
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(name)) => name.clone(),
        // As `libpq` does, whatever the path.
        Some(Host::Unix(_)) | None => "localhost".to_owned(),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432).to_string();
    let wanted = [&host, &port, config.get_dbname()?, config.get_user()?];
    passfile.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let fields = passfile_fields(line);
        let [first @ .., password] = fields.as_slice() else { return None };
        let fits = first.len() == wanted.len()
            && first.iter().zip(wanted).all(|(field, wanted)| field == "*" || field == wanted);
        fits.then(|| password.clone())
    })
}

/// The five fields of a line, in which a backslash escapes a colon and a backslash.
fn passfile_fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            ':' if fields.len() < 5 => fields.push(String::new()),
            other => {
                let escaped = if other == '\\' { characters.next() } else { Some(other) };
                if let Some(field) = fields.last_mut() {
                    field.extend(escaped);
                }
            }
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(address: &str, variables: &[(&str, &str)]) -> Result<Config, SettingsError> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        PostgresSettings::read(address, None, variable)?.complete()
    }

    #[test]
    fn what_the_address_leaves_out_comes_from_variables() {
        let variables =
            [("PGHOST", "a,b"), ("PGPORT", "1,2"), ("PGUSER", "u"), ("PGPASSWORD", "secret")];
        let config = read("postgres://", &variables).unwrap();
        assert_eq!(config.get_hosts().len(), 2);
        assert_eq!(config.get_ports(), [1, 2]);
        assert_eq!(config.get_user(), Some("u"));
        assert_eq!(config.get_dbname(), Some("u"));
        assert_eq!(config.get_password(), Some(&b"secret"[..]));
        let config = read("postgres://me@h:7/d?sslmode=disable", &variables).unwrap();
        assert_eq!(config.get_ports(), [7]);
        assert_eq!((config.get_user(), config.get_dbname()), (Some("me"), Some("d")));
        assert_eq!(config.get_ssl_mode(), SslMode::Disable);
    }

    #[test]
    fn an_address_with_a_password_or_with_an_unknown_mode_is_refused() {
        assert!(matches!(read("postgres://u:p@h/d", &[]), Err(SettingsError::Password)));
        assert!(matches!(read("mysql://h/d", &[]), Err(SettingsError::Scheme)));
        let error = read("postgres://h/d?sslmode=verify", &[]).unwrap_err().to_string();
        assert!(error.starts_with("sslmode is 'verify'"), "{error}");
        let error = read("postgres://h/d?colour=red", &[]).unwrap_err().to_string();
        assert!(error.contains("colour"), "{error}");
    }

    #[test]
    fn a_password_is_taken_from_the_first_line_that_fits() {
        let file = "# h:5432:d:u:comment\nother:*:*:*:one\nh:5432:d:u:a\\:b:c\nh:*:*:*:late\n";
        let config = read("postgres://u@h/d", &[]).unwrap();
        assert_eq!(password_of(&config, file).as_deref(), Some("a:b:c"));
        let config = read("postgres://u@elsewhere/d", &[]).unwrap();
        assert_eq!(password_of(&config, file), None);
    }

    #[test]
    fn the_place_of_a_database_has_no_secret() {
        let settings = PostgresSettings::read("postgres://u@h/d?sslmode=disable", None, |name| {
            (name == "PGPASSWORD").then(|| "secret".to_owned())
        });
        assert_eq!(settings.unwrap().place(), "h:5432/d");
    }
}
