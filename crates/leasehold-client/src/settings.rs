//! Which server, and with which credentials: what the program says, then `LEASEHOLD_*`, then
//! `PREFECT_*`, then Prefect's profile, then this machine. Reads variables and one file.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use crate::profile::{self, Profile};
use crate::source::{SettingsError, Source, text};

/// Where the API is if nothing says otherwise.
pub const DEFAULT_URL: &str = "http://127.0.0.1:4200/api";

/// How a client names itself to the server.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credentials {
    /// HTTP Basic authentication: `user:password`, the server's `--auth-string`.
    Basic(String),
    /// A key, sent as a bearer token.
    Bearer(String),
}

/// Shows no secret.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Basic(_) => "Basic(…)",
            Self::Bearer(_) => "Bearer(…)",
        })
    }
}

/// Which server a client speaks to, and as whom.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The URL of the API, without a slash at its end.
    pub url: String,
    /// Where the URL comes from.
    pub url_from: Source,
    /// What the client sends with each request.
    pub credentials: Option<Credentials>,
    /// Where the credentials come from.
    pub credentials_from: Source,
    /// A file of certificates, in PEM, that are trusted besides those of the system.
    pub ca_file: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            url: DEFAULT_URL.to_owned(),
            url_from: Source::Default,
            credentials: None,
            credentials_from: Source::Default,
            ca_file: None,
        }
    }
}

const URL: &str = "LEASEHOLD_API_URL";
const AUTH_STRING: &str = "LEASEHOLD_API_AUTH_STRING";
const CA_FILE: &str = "LEASEHOLD_API_SSL_CERT_FILE";
const PREFECT_URL: &str = "PREFECT_API_URL";
const PREFECT_AUTH_STRING: &str = "PREFECT_API_AUTH_STRING";
const PREFECT_KEY: &str = "PREFECT_API_KEY";
const PREFECT_CA_FILE: &str = "PREFECT_API_SSL_CERT_FILE";

impl Settings {
    /// As the environment of this process says.
    pub(crate) fn from_env() -> Result<Self, SettingsError> {
        Self::read(&|name| std::env::var_os(name))
    }

    /// As one of Prefect's profiles says, whatever other variables say.
    pub(crate) fn of_profile(name: &str) -> Result<Self, SettingsError> {
        let variable = |wanted: &str| match wanted {
            "PREFECT_PROFILE" => Some(OsString::from(name)),
            "HOME" | "PREFECT_HOME" | "PREFECT_PROFILES_PATH" => std::env::var_os(wanted),
            _ => None,
        };
        if profile::active(&variable)?.is_none() {
            return Err(SettingsError::Profile(name.to_owned()));
        }
        Self::read(&variable)
    }

    /// Prefect's credentials go to no other server than Prefect's URL, which may be another
    /// company's.
    fn read(variable: &dyn Fn(&str) -> Option<OsString>) -> Result<Self, SettingsError> {
        let ours = |name| text(variable, name);
        let mut settings = Self::default();
        let url = ours(URL)?;
        if let Some(auth_string) = ours(AUTH_STRING)? {
            settings.credentials = Some(Credentials::Basic(auth_string));
            settings.credentials_from = Source::Variable(AUTH_STRING);
        }
        settings.ca_file = ours(CA_FILE)?.map(PathBuf::from);
        if let Some(url) = url {
            settings.url = url;
            settings.url_from = Source::Variable(URL);
            return Ok(settings);
        }
        let profile = profile::active(variable)?;
        let theirs = |name| of_prefect(variable, profile.as_ref(), name);
        if let Some((url, from)) = theirs(PREFECT_URL)? {
            settings.url = url;
            settings.url_from = from;
        }
        if settings.credentials.is_none() {
            let basic =
                theirs(PREFECT_AUTH_STRING)?.map(|(it, from)| (Credentials::Basic(it), from));
            let bearer = theirs(PREFECT_KEY)?.map(|(it, from)| (Credentials::Bearer(it), from));
            if let Some((credentials, from)) = basic.or(bearer) {
                settings.credentials = Some(credentials);
                settings.credentials_from = from;
            }
        }
        if settings.ca_file.is_none() {
            settings.ca_file = theirs(PREFECT_CA_FILE)?.map(|(path, _)| PathBuf::from(path));
        }
        Ok(settings)
    }
}

/// The variable, or else the profile's value for it.
fn of_prefect(
    variable: &dyn Fn(&str) -> Option<OsString>,
    profile: Option<&Profile>,
    name: &'static str,
) -> Result<Option<(String, Source)>, SettingsError> {
    if let Some(value) = text(variable, name)? {
        return Ok(Some((value, Source::Variable(name))));
    }
    let of_profile = profile.and_then(|profile| Some((profile.value(name)?, profile.source())));
    Ok(of_profile)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn read(variables: &[(&str, &str)]) -> Settings {
        let variables: HashMap<_, _> = variables.iter().copied().collect();
        Settings::read(&|name| variables.get(name).map(OsString::from))
            .unwrap_or_else(|error| panic!("{error}"))
    }

    const NO_HOME: (&str, &str) = ("PREFECT_HOME", "/nonexistent");

    #[test]
    fn nothing_said_means_this_machine() {
        let settings = read(&[NO_HOME]);
        assert_eq!(settings.url, DEFAULT_URL);
        assert_eq!(settings.credentials, None);
    }

    #[test]
    fn our_url_gets_no_credentials_of_prefect() {
        let cloud = ("PREFECT_API_KEY", "pnu_secret");
        let settings = read(&[NO_HOME, cloud, ("LEASEHOLD_API_URL", "http://a/api")]);
        assert_eq!((settings.url.as_str(), settings.credentials), ("http://a/api", None));
        let settings = read(&[NO_HOME, cloud, ("PREFECT_API_URL", "http://b/api")]);
        assert_eq!(settings.credentials, Some(Credentials::Bearer("pnu_secret".to_owned())));
        assert_eq!(settings.credentials_from, Source::Variable("PREFECT_API_KEY"));
        let both = [NO_HOME, cloud, ("PREFECT_API_AUTH_STRING", "a:b"), ("PREFECT_API_URL", "")];
        let settings = read(&both);
        assert_eq!(settings.credentials, Some(Credentials::Basic("a:b".to_owned())));
        assert_eq!(settings.url_from, Source::Default);
    }

    #[test]
    fn the_active_profile_is_asked_last() {
        let home = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
        let file = home.path().join("profiles.toml");
        let text = "active = 'work'\n[profiles.work]\nPREFECT_API_URL = 'http://w/api'\n\
                    PREFECT_API_AUTH_STRING = 'w:pw'\n[profiles.other]\nPREFECT_API_KEY = 'k'\n";
        std::fs::write(&file, text).unwrap_or_else(|error| panic!("{error}"));
        let home = ("PREFECT_HOME", home.path().to_str().unwrap_or_default());
        let settings = read(&[home]);
        assert_eq!(settings.url, "http://w/api");
        assert_eq!(settings.url_from, Source::Profile { name: "work".to_owned(), path: file });
        assert_eq!(settings.credentials, Some(Credentials::Basic("w:pw".to_owned())));
        let settings = read(&[home, ("PREFECT_PROFILE", "other")]);
        assert_eq!(settings.url, DEFAULT_URL);
        assert_eq!(settings.credentials, Some(Credentials::Bearer("k".to_owned())));
        let settings = read(&[home, ("PREFECT_API_URL", "http://v/api")]);
        assert_eq!(settings.url, "http://v/api");
    }

    #[test]
    fn credentials_are_not_shown() {
        let settings = read(&[NO_HOME, ("LEASEHOLD_API_AUTH_STRING", "a:secret")]);
        assert!(!format!("{settings:?}").contains("secret"));
    }
}
