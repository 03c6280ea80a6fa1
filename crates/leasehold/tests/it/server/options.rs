//! Where options come from: flag over environment over file over the variables of Prefect.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use serde_json::json;

use crate::server::program::{Home, Server, run};

/// The most results that a list may have on this server.
fn page_size(server: &Server) -> u64 {
    let body = json!({"limit": 100_000});
    let answer = server.client().post("/api/v2/concurrency_limits/filter", &body);
    let sentence = answer.json()["detail"].as_str().unwrap().to_owned();
    let number = sentence.trim_end_matches('.').rsplit(' ').next().unwrap();
    number.parse().unwrap()
}

#[test]
fn a_flag_wins_over_a_variable_over_the_file_over_prefect() {
    let home = Home::new();
    let file = home.write("config.toml", "page_size = 3").display().to_string();
    let check = |arguments: &[&str], variables: &[(&str, &str)], expected| {
        let mut command = home.start_command(arguments);
        command.envs(variables.iter().copied());
        let server = Server::start(command);
        assert_eq!(page_size(&server), expected, "{arguments:?} {variables:?}");
        server.stop();
    };
    let prefect = ("PREFECT_SERVER_API_DEFAULT_LIMIT", "4");
    let ours = ("LEASEHOLD_PAGE_SIZE", "2");
    check(&["--config", &file, "--page-size", "1"], &[ours, prefect], 1);
    check(&["--config", &file], &[ours, prefect], 2);
    check(&["--config", &file], &[prefect], 3);
    check(&[], &[prefect], 4);
    check(&[], &[], 200);
}

#[test]
fn the_file_and_the_data_have_their_usual_places() {
    let home = Home::new();
    let config = home.path("config-home");
    std::fs::create_dir_all(config.join("leasehold")).unwrap();
    home.write("config-home/leasehold/config.toml", "page_size = 5");
    let mut command = home.leasehold(["server", "start", "--port", "0"]);
    command.env("XDG_CONFIG_HOME", &config).env("XDG_DATA_HOME", home.path("data-home"));
    let server = Server::start(command);
    assert_eq!(page_size(&server), 5);
    let data_dir = home.path("data-home/leasehold");
    assert!(server.announcement().contains(&data_dir.display().to_string()));
    assert!(data_dir.join("leasehold.db").exists());
}

#[test]
fn every_option_can_stand_in_the_file() {
    let home = Home::new();
    let data_dir = home.path("elsewhere");
    let file = home.write(
        "config.toml",
        &format!(
            "host = \"127.0.0.1\"\nport = 0\ndata_dir = {:?}\nlog_format = \"json\"\nlog_level = \
             \"debug\"\nlease_seconds_min = 1\nlease_seconds_default = 2.5\nlease_seconds_max = \
             9\npage_size = 50\nauth_string = \"admin:secret\"\ncsrf_protection = \
             true\ntag_wait_seconds = 1\nwait_seconds_max = 2\npark_seconds = 3\ntrusted_proxies = \
             [\"127.0.0.1\", \"10.0.0.0/8\"]\n",
            data_dir.display().to_string()
        ),
    );
    let mut command = home.leasehold(["server", "start", "--config"]);
    command.arg(file);
    let server = Server::start(command);
    assert!(data_dir.join("leasehold.db").exists());
    assert!(server.announcement().starts_with('{'), "{}", server.announcement());
    assert_eq!(server.client().get("/api/version").status, 401);
    let write = server.client().send("DELETE", "/api/v2/concurrency_limits/x", None).unwrap();
    assert_eq!(write.status, 403);
}

#[test]
fn the_variables_of_prefect_are_honoured() {
    let home = Home::new();
    // A request that the server can hold open is asked to come back at once.
    let mut command = home.start_command(&["--park-seconds", "0"]);
    command
        .env("PREFECT_SERVER_TASKS_TAG_CONCURRENCY_SLOT_WAIT_SECONDS", "7")
        .env("PREFECT_SERVER_CONCURRENCY_MAXIMUM_CONCURRENCY_SLOT_WAIT_SECONDS", "0.5");
    let server = Server::start(command);
    let mut client = server.client();

    client.create_limit("tag:db", 1);
    let tag = |run: &str| json!({"names": ["db"], "task_run_id": run});
    let increment = "/api/concurrency_limits/increment";
    let first = tag("00000000-0000-4000-8000-000000000001");
    assert_eq!(client.post(increment, &first).status, 200);
    let second = client.post(increment, &tag("00000000-0000-4000-8000-000000000002"));
    assert_eq!((second.status, second.header("retry-after")), (423, Some("7.0")));

    client.create_limit("disk", 1);
    assert_eq!(client.acquire(&["disk"], 1).status, 200);
    let refused = client.acquire(&["disk"], 1);
    let seconds: f64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((0.25..=0.5).contains(&seconds), "{seconds}");
}

#[test]
fn authentication_and_csrf_protection_come_from_variables_of_prefect_too() {
    let home = Home::new();
    let mut command = home.start_command(&[]);
    command
        .env("PREFECT_SERVER_API_AUTH_STRING", "admin:secret")
        .env("PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED", "True");
    let server = Server::start(command);
    let mut client = server.client();
    assert_eq!(client.get("/api/version").status, 401);
    assert_eq!(client.get("/api/health").status, 200);
    // The page holds nothing of this server; what it shows does.
    assert_eq!(client.get("/docs").status, 200);
    assert_eq!(client.get("/").header("location"), Some("/leasehold"));
    assert_eq!(client.get("/api/openapi.json").status, 401);
    let write = client.send("DELETE", "/api/v2/concurrency_limits/x", None).unwrap();
    assert_eq!((write.status, write.json()["detail"].as_str()), (403, Some("Missing CSRF token.")));
}

#[test]
fn an_empty_variable_hides_nothing() {
    let home = Home::new();
    let file = home.write("config.toml", "auth_string = \"admin:secret\"").display().to_string();
    let prefect = ("PREFECT_SERVER_API_AUTH_STRING", "admin:secret");
    for (arguments, variables) in [
        (&["--config", &file][..], &[][..]),
        (&["--config", &file], &[("PREFECT_SERVER_API_AUTH_STRING", "")]),
        (&[], &[prefect]),
    ] {
        let mut command = home.start_command(arguments);
        command.envs(variables.iter().copied());
        command.env("LEASEHOLD_AUTH_STRING", "").env("LEASEHOLD_PAGE_SIZE", "");
        command.env("PREFECT_SERVER_API_DEFAULT_LIMIT", "");
        let server = Server::start(command);
        assert_eq!(server.client().get("/api/version").status, 401, "{arguments:?} {variables:?}");
        server.stop();
    }
}

#[test]
fn a_variable_that_is_no_text_is_named() {
    let home = Home::new();
    for name in ["LEASEHOLD_AUTH_STRING", "LEASEHOLD_PORT", "PREFECT_SERVER_API_AUTH_STRING"] {
        let mut command = home.leasehold(["server", "start"]);
        command.arg("--data-dir").arg(home.data_dir()).env(name, OsStr::from_bytes(b"a:\xff"));
        let ended = run(command);
        assert_eq!(ended.code, Some(78), "{name}: {ended:?}");
        assert!(ended.stderr.contains(name), "{ended:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    }
}

#[test]
fn a_number_out_of_range_is_refused_for_that_wherever_it_stands() {
    let home = Home::new();
    let check = |arguments: &[&str], variable: (&str, &str), code, sentence: &str| {
        let mut command = home.start_command(arguments);
        command.env(variable.0, variable.1);
        let ended = run(command);
        assert_eq!(ended.code, Some(code), "{arguments:?} {variable:?} {ended:?}");
        assert!(ended.stderr.contains(sentence), "{ended:?}");
    };
    let none = ("LEASEHOLD_PORT", "");
    let heartbeat = "invalid value '-1' for '--heartbeat-timeout-seconds <SECONDS>': must be a \
                     number from 1 to 31622400";
    check(&["--heartbeat-timeout-seconds", "-1"], none, 64, heartbeat);
    check(&["--heartbeat-timeout-seconds=-1"], none, 64, heartbeat);
    let heartbeat = "the variable LEASEHOLD_HEARTBEAT_TIMEOUT_SECONDS is wrong: invalid value '-1'";
    check(&[], ("LEASEHOLD_HEARTBEAT_TIMEOUT_SECONDS", "-1"), 78, heartbeat);
    let prefect = "PREFECT_SERVER_API_DEFAULT_LIMIT";
    check(&[], (prefect, "0"), 78, "PREFECT_SERVER_API_DEFAULT_LIMIT is wrong: invalid value '0'");
    check(&["--park-seconds", "-3"], none, 64, "must be a number from 0 to 55");
    check(&["--park-seconds", "1e300"], none, 64, "must be a number from 0 to 55");
    check(&["--records-max", "-5"], none, 64, "must be a number from 100 to 100000000");
    // The default is as long as the bounds allow.
    let too_long = "--lease-seconds-min is 90000, which must be from 0.001 to 86400";
    check(&["--lease-seconds-min", "90000"], none, 64, too_long);
    let too_short = "--lease-seconds-max is 30, which must be from 60 to 31622400";
    check(&["--lease-seconds-max", "30"], none, 64, too_short);
    let both = "--lease-seconds-max is 9, which must be from 10 (the variable \
                LEASEHOLD_LEASE_SECONDS_MIN) to 31622400";
    check(&["--lease-seconds-max", "9"], ("LEASEHOLD_LEASE_SECONDS_MIN", "10"), 64, both);
    check(&["--lease-seconds-max", "9"], ("LEASEHOLD_LEASE_SECONDS_MIN", "x"), 78, "SECONDS_MIN");
}

#[test]
fn an_error_names_the_file_and_the_line_of_a_wrong_value() {
    let home = Home::new();
    for (text, line, key) in [
        ("port = 0\n\n# Short.\nlease_seconds_max = 30\n", 4, "lease_seconds_max"),
        ("\n\"page_size\" = 0\n", 2, "page_size"),
        ("auth_string = \" \"\n", 1, "auth_string"),
        ("port = 0\ncors_origins = [\"*\"]\n", 2, "cors_origins"),
        ("allowed_hosts = [\"a\", \"http://b\"]\n", 1, "allowed_hosts"),
    ] {
        let file = home.write("config.toml", text).display().to_string();
        let ended = run(home.leasehold(["server", "start", "--config", &file]));
        assert_eq!(ended.code, Some(78), "{text}: {ended:?}");
        let place = format!("error: {key} in line {line} of the file {file} ");
        assert!(ended.stderr.starts_with(&place), "{ended:?}");
    }
}

#[test]
fn a_key_that_is_no_option_is_refused_with_a_hint() {
    let home = Home::new();
    let file = home.write("config.toml", "port = 0\npage_sizes = 3\n").display().to_string();
    let ended = run(home.leasehold(["server", "start", "--config", &file]));
    assert_eq!(ended.code, Some(78), "{ended:?}");
    let sentence = "is wrong in line 2: there is no option `page_sizes`; did you mean `page_size`?";
    assert!(ended.stderr.contains(sentence), "{ended:?}");
}

#[test]
fn a_password_that_browsers_cannot_send_gets_a_warning() {
    for (auth_string, said) in [("secret", "has no colon"), ("admin:", "has an empty password")] {
        let home = Home::new();
        let mut command = home.start_command(&[]);
        command.env("PREFECT_SERVER_API_AUTH_STRING", auth_string);
        let log = Server::start(command).stop();
        let sentence = format!("the variable PREFECT_SERVER_API_AUTH_STRING {said}");
        assert!(log.contains(" WARN ") && log.contains(&sentence), "{log}");
    }
}

#[test]
fn an_empty_password_is_refused() {
    let home = Home::new();
    let ended = run(home.start_command(&["--auth-string", ""]));
    assert_eq!(ended.code, Some(64), "{ended:?}");
    assert!(ended.stderr.contains("--auth-string <USER:PASSWORD>"), "{ended:?}");
    let ended = run(home.start_command(&["--auth-string", " "]));
    assert_eq!((ended.code, ended.stderr.contains("--auth-string is empty")), (Some(64), true));
}

#[test]
fn the_password_of_the_command_line_is_not_in_ps() {
    let home = Home::new();
    for arguments in [&["--auth-string", "admin:hunter2"][..], &["--auth-string=admin:hunter2"]] {
        let mut command = home.start_command(arguments);
        // A flag wins over a variable.
        command.env("LEASEHOLD_AUTH_STRING", "admin:other");
        let server = Server::start(command);
        let line = std::fs::read(format!("/proc/{}/cmdline", server.pid())).unwrap();
        let line = String::from_utf8_lossy(&line).into_owned();
        assert!(line.contains("start") && !line.contains("hunter2"), "{line:?}");
        for (login, status) in [("YWRtaW46aHVudGVyMg==", 200), ("YWRtaW46b3RoZXI=", 401)] {
            let mut client = server.client();
            let head = format!(
                "GET /api/version HTTP/1.1\r\nhost: localhost\r\nauthorization: Basic {login}\r\n\r\n"
            );
            client.write(head.as_bytes()).unwrap();
            assert_eq!(client.read_answer().unwrap().status, status, "{arguments:?} {login}");
        }
        server.stop();
    }
}

#[test]
fn a_variable_that_means_nothing_gets_a_warning() {
    let home = Home::new();
    let mut command = home.start_command(&[]);
    command
        .env("LEASEHOLD_AUTHSTRING", "admin:secret")
        .env("LEASEHOLD_AUTH_STRING", "")
        // What Kubernetes sets beside a service that is called `leasehold`.
        .env("LEASEHOLD_PORT", "tcp://10.0.0.1:4200")
        .env("LEASEHOLD_SERVICE_HOST", "10.0.0.1");
    let log = Server::start(command).stop();
    let warnings: Vec<_> = log.lines().filter(|line| line.contains(" WARN ")).collect();
    assert_eq!(warnings.len(), 2, "{log}");
    assert!(warnings[0].contains("did you mean LEASEHOLD_AUTH_STRING?"), "{log}");
    assert!(warnings[1].contains("LEASEHOLD_AUTH_STRING is empty"), "{log}");
    assert!(!log.contains("secret"), "{log}");
}

#[test]
fn an_operator_may_allow_shorter_leases() {
    let home = Home::new();
    let server = home.start(&["--lease-seconds-min", "0.5"]);
    let mut client = server.client();
    client.create_limit("db", 1);
    let acquire = |seconds: f64| json!({"names": ["db"], "slots": 1, "lease_duration": seconds});
    let path = "/api/v2/concurrency_limits/increment-with-lease";
    assert_eq!(client.post(path, &acquire(0.4)).status, 422);
    assert_eq!(client.post(path, &acquire(0.5)).status, 200);
}
