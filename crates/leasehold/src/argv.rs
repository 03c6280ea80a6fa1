//! Passwords on the command line, where `ps` shows them to all users of the machine:
//! they move to the environment, which only this user can read, and do not go on to the command.

use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use leasehold_redis::Address;

use crate::output;

/// The variable with the address of the Redis.
pub(crate) const REDIS: &str = "LEASEHOLD_REDIS";
/// The variable with the path of a file that the address is in.
pub(crate) const REDIS_FILE: &str = "LEASEHOLD_REDIS_FILE";
/// The variable with the address of a Prefect server or its database.
pub(crate) const PREFECT: &str = "LEASEHOLD_PREFECT";

/// Where this program is. After an upgrade its file is another one, or gone.
pub(crate) fn this_program() -> PathBuf {
    let path = env::current_exe().ok().filter(|path| path.exists());
    path.unwrap_or_else(|| PathBuf::from("/proc/self/exe"))
}

/// Whether the address in the environment has a password in it, or cannot be read.
pub(crate) fn address_is_secret() -> bool {
    env::var_os(REDIS).is_some_and(|url| url.to_str().is_none_or(Address::is_secret))
}

/// An option whose value may be a secret, and the variable that it moves to.
struct Secret {
    flags: &'static [&'static str],
    /// Beside these an error has to be said, and not to be hidden.
    conflicts: &'static [&'static str],
    variable: &'static str,
    /// What the variable would be refused beside.
    removed: &'static [&'static str],
    is_secret: fn(&str) -> bool,
    /// What to use instead.
    advice: &'static str,
}

const ADDRESS: Secret = Secret {
    flags: &["--redis", "--url"],
    conflicts: &["--redis-file"],
    variable: REDIS,
    removed: &[REDIS_FILE],
    is_secret: Address::is_secret,
    advice: "use --redis-file or the variable LEASEHOLD_REDIS",
};

const AUTH_STRING: Secret = Secret {
    flags: &["--auth-string"],
    conflicts: &[],
    variable: "LEASEHOLD_AUTH_STRING",
    removed: &[],
    // An empty one is refused where the options are read.
    is_secret: |text| !text.trim().is_empty(),
    advice: "use the variable LEASEHOLD_AUTH_STRING or the file of options",
};

/// What `migrate prefect` may have.
const OF_PREFECT: [Secret; 4] = [
    Secret {
        flags: &["--from", "--to"],
        conflicts: &[],
        variable: PREFECT,
        removed: &[],
        is_secret: leasehold_migrate::is_secret,
        advice: "use the variable LEASEHOLD_PREFECT",
    },
    Secret {
        flags: &["--leases"],
        conflicts: &[],
        variable: "LEASEHOLD_PREFECT_LEASES",
        removed: &[],
        is_secret: leasehold_migrate::is_secret,
        advice: "use the variable LEASEHOLD_PREFECT_LEASES",
    },
    Secret {
        variable: "LEASEHOLD_PREFECT_API_AUTH_STRING",
        advice: "use the variable LEASEHOLD_PREFECT_API_AUTH_STRING",
        ..AUTH_STRING
    },
    Secret {
        flags: &["--api-key"],
        variable: "LEASEHOLD_PREFECT_API_KEY",
        advice: "use the variable LEASEHOLD_PREFECT_API_KEY",
        ..AUTH_STRING
    },
];

/// Starts this program again, under the same process id, without the password among its arguments.
/// Returns where none stands there.
pub(crate) fn hide_password() {
    let arguments: Vec<OsString> = env::args_os().collect();
    // The program that is started again hides the next one.
    let secrets = secrets_of(&arguments).iter();
    let mut taken = secrets.filter_map(|it| Some((it, it.taken_from(&arguments)?)));
    let Some((secret, (shown, value))) = taken.next() else { return };
    let mut again = Command::new(this_program());
    if let Some(name) = arguments.first() {
        again.arg0(name);
    }
    for variable in secret.removed {
        again.env_remove(variable);
    }
    let error = again.args(shown).env(secret.variable, value).exec();
    output::say(&format!(
        "all users of this machine can see the password on the command line: hiding it failed: {error}; {}",
        secret.advice
    ));
}

/// The secrets that the command may have.
fn secrets_of(arguments: &[OsString]) -> &'static [Secret] {
    match arguments.get(1).and_then(|command| command.to_str()) {
        Some("server") => &[AUTH_STRING],
        Some("migrate") => &OF_PREFECT,
        _ => &[ADDRESS],
    }
}

impl Secret {
    /// The arguments without the program's name and without the secret; and that secret.
    fn taken_from(&self, arguments: &[OsString]) -> Option<(Vec<OsString>, String)> {
        let end = arguments.iter().position(|argument| argument == "--").unwrap_or(arguments.len());
        let (ours, rest) = arguments.split_at(end);
        let mut shown = Vec::new();
        let mut secret = None;
        let mut left = ours.iter().skip(1);
        while let Some(argument) = left.next() {
            let text = argument.to_str().unwrap_or_default();
            let (flag, value) = match text.split_once('=') {
                Some((flag, value)) => (flag, Some(value)),
                None => (text, None),
            };
            let is_ours = self.flags.contains(&flag);
            // What is wrong with them is said where they are read, and a second one is.
            if secret.is_some() && is_ours || self.conflicts.contains(&text) {
                return None;
            }
            if is_ours && value.is_none() {
                let value = left.next().and_then(|value| value.to_str())?;
                if (self.is_secret)(value) {
                    secret = Some(value.to_owned());
                } else {
                    shown.extend([argument.clone(), OsString::from(value)]);
                }
            } else if let Some(value) = value.filter(|value| is_ours && (self.is_secret)(value)) {
                secret = Some(value.to_owned());
            } else {
                shown.push(argument.clone());
            }
        }
        shown.extend_from_slice(rest);
        Some((shown, secret?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Option<(&str, &str)>) {
        let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let expected = expected.map(|(shown, url)| {
            (shown.split(' ').map(OsString::from).collect::<Vec<_>>(), url.to_owned())
        });
        let mut taken = secrets_of(&arguments).iter().filter_map(|it| it.taken_from(&arguments));
        assert_eq!(taken.next(), expected, "{line}");
    }

    #[test]
    fn only_addresses_with_a_password_are_taken_off_the_command_line() {
        let url = "redis://:pw@h";
        for form in ["--redis redis://:pw@h", "--redis=redis://:pw@h", "--url redis://:pw@h"] {
            check(
                &format!("leasehold run {form} --lock a -- true --redis redis://:x@h"),
                Some(("run --lock a -- true --redis redis://:x@h", url)),
            );
        }
        check("leasehold run --redis redis://h --lock a -- true", None);
        check("leasehold run -- leasehold run --redis redis://:pw@h", None);
        check("leasehold run --redis", None);
    }

    #[test]
    fn the_password_of_the_server_is_taken_off_the_command_line() {
        for form in ["--auth-string a:b=c", "--auth-string=a:b=c"] {
            let line = format!("leasehold server start {form} --port 0");
            check(&line, Some(("server start --port 0", "a:b=c")));
        }
        check("leasehold server start --auth-string=", None);
        check("leasehold server start --auth-string", None);
        check("leasehold server start --auth-string a:b --auth-string c:d", None);
        check("leasehold run --auth-string a:b --lock a -- true", None);
        check("leasehold run --lock a -- leasehold server start --auth-string a:b", None);
    }

    #[test]
    fn the_passwords_of_a_migration_are_taken_off_one_after_the_other() {
        let line =
            "leasehold migrate prefect import --from=postgresql://u:p@h/d --leases redis://h";
        let shown = "migrate prefect import --leases redis://h";
        check(line, Some((shown, "postgresql://u:p@h/d")));
        let line = "leasehold migrate prefect import --leases redis://:p@h --api-key k";
        check(line, Some(("migrate prefect import --api-key k", "redis://:p@h")));
        check(
            "leasehold migrate prefect import --api-key k",
            Some(("migrate prefect import", "k")),
        );
        check("leasehold migrate prefect import --from http://h/api", None);
    }

    #[test]
    fn two_addresses_are_left_to_be_refused() {
        check("leasehold run --redis redis://:pw@h --redis redis://h", None);
        check("leasehold run --redis redis://:pw@h --redis-file f", None);
    }
}
