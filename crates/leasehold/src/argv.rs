//! Passwords that stand on the command line, where `ps` shows them to everybody on the machine: they move to the
//! environment, which only this user can read, and do not go on to the command.

use crate::output;
use leasehold_redis::Address;
use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

/// The variable with the address of the Redis.
pub(crate) const REDIS: &str = "LEASEHOLD_REDIS";
/// The variable with the path of a file that the address is in.
pub(crate) const REDIS_FILE: &str = "LEASEHOLD_REDIS_FILE";

/// Where this program is. After an upgrade its file is another one, or gone.
pub(crate) fn this_program() -> PathBuf {
    let path = env::current_exe().ok().filter(|path| path.exists());
    path.unwrap_or_else(|| PathBuf::from("/proc/self/exe"))
}

/// Whether the address in the environment has a password in it, or cannot be read.
pub(crate) fn address_is_secret() -> bool {
    env::var_os(REDIS).is_some_and(|url| url.to_str().is_none_or(Address::is_secret))
}

/// Starts this program again, under the same process id, without the password among its arguments. Returns where none
/// stands there.
pub(crate) fn hide_password() {
    let arguments: Vec<OsString> = env::args_os().collect();
    let Some((shown, url)) = without_address(&arguments) else { return };
    let mut again = Command::new(this_program());
    if let Some(name) = arguments.first() {
        again.arg0(name);
    }
    let error = again.args(shown).env(REDIS, url).env_remove(REDIS_FILE).exec();
    output::say(&format!(
        "everybody on this machine can see the password on the command line, hiding it failed: {error}; \
         use --redis-file or the variable {REDIS}"
    ));
}

/// The arguments without the program's name and without an address that has a password; and that address.
fn without_address(arguments: &[OsString]) -> Option<(Vec<OsString>, String)> {
    let end = arguments.iter().position(|argument| argument == "--").unwrap_or(arguments.len());
    let (ours, rest) = arguments.split_at(end);
    let mut shown = Vec::new();
    let mut secret = None;
    let mut left = ours.iter().skip(1);
    while let Some(argument) = left.next() {
        let text = argument.to_str().unwrap_or_default();
        // What is wrong with them is said where they are read, and a second one is.
        if secret.is_some() && is_address_flag(text) || text == "--redis-file" {
            return None;
        }
        if text == "--redis" || text == "--url" {
            let url = left.next().and_then(|url| url.to_str())?;
            if Address::is_secret(url) {
                secret = Some(url.to_owned());
            } else {
                shown.extend([argument.clone(), OsString::from(url)]);
            }
        } else if let Some(url) = url_of(text).filter(|url| Address::is_secret(url)) {
            secret = Some(url.to_owned());
        } else {
            shown.push(argument.clone());
        }
    }
    shown.extend_from_slice(rest);
    Some((shown, secret?))
}

fn url_of(argument: &str) -> Option<&str> {
    argument.strip_prefix("--redis=").or_else(|| argument.strip_prefix("--url="))
}

fn is_address_flag(argument: &str) -> bool {
    matches!(argument, "--redis" | "--url") || url_of(argument).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Option<(&str, &str)>) {
        let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let expected = expected.map(|(shown, url)| {
            (shown.split(' ').map(OsString::from).collect::<Vec<_>>(), url.to_owned())
        });
        assert_eq!(without_address(&arguments), expected, "{line}");
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
    fn two_addresses_are_left_to_be_refused() {
        check("leasehold run --redis redis://:pw@h --redis redis://h", None);
        check("leasehold run --redis redis://:pw@h --redis-file f", None);
    }
}
