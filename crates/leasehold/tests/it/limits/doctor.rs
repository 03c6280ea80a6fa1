//! `leasehold doctor`, and how each command fails.

use serde_json::Value;

use super::Place;
use crate::server::program::run;

fn check<'a>(checks: &'a Value, about: &str) -> &'a Value {
    let mut checks = checks.as_array().unwrap().iter();
    checks.find(|check| check["about"] == about).unwrap_or(&Value::Null)
}

#[test]
fn a_server_that_is_well_is_found_well() {
    let place = Place::new();
    place.ok(&["gcl", "create", "database", "--limit", "1"]);
    let checks = place.json(&["doctor"]);
    for about in ["address", "reach", "server", "journal", "clock", "WebSockets", "limits"] {
        assert_eq!(check(&checks, about)["verdict"], "well", "{about}: {checks:#}");
    }
    place.acquire("database", 1, "web-1");
    let checks = place.json(&["doctor"]);
    let limits = check(&checks, "limits");
    assert_eq!(limits["verdict"], "warning");
    assert!(limits["advice"].as_str().unwrap().contains("leasehold why database"), "{limits}");
    // It has asked for a slot of no limit, and left nothing.
    assert_eq!(place.json(&["leases", "ls"]).as_array().unwrap().len(), 1);
}

#[test]
fn what_is_wrong_has_an_advice() {
    let place = Place::new();
    for (url, about) in [
        ("http://127.0.0.1:1/api".to_owned(), "reach"),
        (place.url().replace("/api", "/other"), "reach"),
    ] {
        let mut command = place.command(&["doctor", "--output", "json"]);
        command.env("LEASEHOLD_API_URL", &url);
        let ended = run(command);
        assert_eq!(ended.code, Some(1), "{url}: {ended:?}");
        let checks: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!(check(&checks, about)["verdict"], "wrong", "{checks:#}");
        assert!(check(&checks, about)["advice"].is_string(), "{checks:#}");
    }
    let mut command = place.command(&["doctor", "--output", "json"]);
    command.env("PREFECT_API_URL", "http://prefect.example/api");
    let ended = run(command);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let checks: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(check(&checks, "Prefect's clients")["verdict"], "warning", "{checks:#}");
}

#[test]
fn prefects_variables_and_profiles_are_understood() {
    let place = Place::with(&["--auth-string", "admin:secret"]);
    place.home.write(
        "profiles.toml",
        &format!(
            "active = 'here'\n[profiles.here]\nPREFECT_API_URL = '{}'\n\
         PREFECT_API_AUTH_STRING = 'admin:secret'\n",
            place.url()
        ),
    );
    let mut command = place.home.leasehold(["status", "--verbose"]);
    command.env("PREFECT_HOME", place.home.path(""));
    let ended = run(command);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("profile") && !ended.stderr.contains("secret"), "{ended:?}");
    assert!(ended.stderr.contains("/v2/concurrency_limits/filter"), "{ended:?}");
    let mut command = place.home.leasehold(["--profile", "here", "gcl", "ls"]);
    command.env("PREFECT_HOME", place.home.path("")).env("PREFECT_API_URL", "http://127.0.0.1:1");
    let ended = run(command);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let mut command = place.home.leasehold(["status", "--profile", "there"]);
    command.env("PREFECT_HOME", place.home.path(""));
    assert_eq!(run(command).code, Some(78));
    let mut command = place.home.leasehold(["status"]);
    command.env("PREFECT_API_URL", place.url()).env("PREFECT_API_AUTH_STRING", "admin:wrong");
    let ended = run(command);
    assert_eq!(ended.code, Some(77), "{ended:?}");
    assert!(ended.stderr.contains("set LEASEHOLD_API_AUTH_STRING"), "{ended:?}");
}

#[test]
fn a_failure_is_one_line_and_a_code() {
    let place = Place::new();
    for arguments in [&["status"][..], &["leases", "ls"], &["why", "a"], &["export"]] {
        let mut command = place.command(arguments);
        command.env("LEASEHOLD_API_URL", "http://127.0.0.1:1/api");
        let ended = run(command);
        assert_eq!(ended.code, Some(69), "{ended:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
        assert!(ended.stderr.contains("leasehold doctor"), "{ended:?}");
    }
    let said = place.fails(69, &["migrate", "prefect", "status"]);
    assert!(said.contains("--upstream"), "{said}");
    let mut command = place.command(&["status"]);
    command.env("LEASEHOLD_API_URL", "nonsense");
    assert_eq!(run(command).code, Some(78));
}
