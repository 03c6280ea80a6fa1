//! What the program prints: its announcement, its log, its help and its completions.

use std::path::Path;

use serde_json::Value;

use crate::server::program::{Home, Server, run};

#[test]
fn it_says_where_it_listens_and_where_its_data_is() {
    let home = Home::new();
    let server = home.start(&[]);
    let base = format!("http://{}", server.address());
    for words in [
        format!("{base}/api"),
        format!("{base}/docs"),
        format!("PREFECT_API_URL={base}/api"),
        home.data_dir().display().to_string(),
    ] {
        assert!(server.announcement().contains(&words), "{}", server.announcement());
    }
    assert_ne!(server.address().port(), 0, "the port that was picked is printed");
}

#[test]
fn it_says_where_its_data_is_wherever_it_was_started() {
    let home = Home::new();
    let mut command = home.leasehold(["server", "start", "--port", "0", "--data-dir", "data"]);
    command.current_dir(home.path(""));
    let server = Server::start(command);
    let data_dir = home.data_dir().display().to_string();
    assert!(server.announcement().contains(&data_dir), "{}", server.announcement());
}

#[test]
fn with_json_everything_that_it_prints_is_json_lines() {
    let home = Home::new();
    let server = home.start(&["--log-format", "json"]);
    let announcement: Value = serde_json::from_str(server.announcement()).unwrap();
    assert_eq!(announcement["api_url"], format!("http://{}/api", server.address()));
    assert_eq!(announcement["data_dir"], home.data_dir().display().to_string());
    let log = server.stop();
    assert!(!log.is_empty());
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        assert!(line["timestamp"].is_string() && line["level"] == "INFO", "{line}");
    }
}

#[test]
fn the_level_of_the_log_can_be_chosen() {
    let home = Home::new();
    assert_ne!(home.start(&[]).stop(), "");
    assert_eq!(home.start(&["--log-level", "error"]).stop(), "");
}

/// What is printed on a terminal, which `script` is.
fn on_terminal(home: &Home, script: &str, no_color: Option<&str>) -> String {
    let mut command = home.command("script", ["-qec", script, "/dev/null"]);
    command.env("LEASEHOLD", env!("CARGO_BIN_EXE_leasehold")).env("TERM", "xterm-256color");
    command.envs(no_color.map(|value| ("NO_COLOR", value)));
    run(command).stdout
}

#[test]
fn no_color_is_heeded_where_there_would_be_color() {
    let errors = "\"$LEASEHOLD\" server begin";
    // Stopped when it has said that it listens; its log is what is on the terminal.
    let logs = "\"$LEASEHOLD\" server start --port 0 --data-dir \"$HOME\" > \"$HOME/said\" & \
                until grep -q Ctrl-C \"$HOME/said\"; do sleep 0.02; done; kill -TERM $!; wait";
    for (script, printed) in [(errors, "begin"), (logs, "stopped")] {
        let is_colored = |no_color| {
            let shown = on_terminal(&Home::new(), script, no_color);
            assert!(shown.contains(printed), "{shown}");
            shown.contains('\u{1b}')
        };
        assert!(is_colored(None), "{script}");
        assert!(is_colored(Some("")), "{script}");
        assert!(!is_colored(Some("1")), "{script}");
    }
}

#[test]
fn what_is_not_a_terminal_gets_no_color() {
    let home = Home::new();
    let mut server = home.start_command(&[]);
    server.env("TERM", "xterm-256color");
    assert!(!Server::start(server).stop().contains('\u{1b}'));
}

#[test]
fn help_names_flag_variable_and_default_of_every_option() {
    let home = Home::new();
    let help = run(home.leasehold(["server", "start", "--help"]));
    assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
    for (option, default) in [
        ("config", "config.toml"),
        ("host", "127.0.0.1"),
        ("port", "4200"),
        ("data-dir", "data directory"),
        ("log-format", "text"),
        ("log-level", "info"),
        ("lease-seconds-min", "60"),
        ("lease-seconds-default", "300"),
        ("lease-seconds-max", "86400"),
        ("page-size", "200"),
        ("auth-string", "none"),
        ("csrf-protection", "false"),
        ("tag-wait-seconds", "10"),
        ("wait-seconds-max", "30"),
        ("park-seconds", "20"),
        ("trusted-proxies", "127.0.0.0/8,::1"),
    ] {
        let (_, about) = help.stdout.split_once(&format!("--{option} <")).unwrap();
        let about = about.split("\n      --").next().unwrap();
        let variable = format!("LEASEHOLD_{}", option.replace('-', "_").to_uppercase());
        assert!(about.contains(&variable), "{option}: {about}");
        let (_, named) = about.split_once("[default: ").unwrap_or_else(|| panic!("{about}"));
        let named = named.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(named.contains(default), "{option}: {named}");
    }
}

#[test]
fn help_fits_a_terminal_of_80_columns() {
    let home = Home::new();
    for arguments in [&["--help"][..], &["server", "--help"], &["server", "start", "--help"]] {
        let help = run(home.leasehold(arguments));
        let lines: Vec<_> = help.stdout.lines().collect();
        let longest = lines.iter().max_by_key(|line| line.chars().count()).unwrap();
        assert!(longest.chars().count() <= 80, "{longest}");
    }
}

#[test]
fn a_secret_in_the_environment_is_not_in_the_help() {
    let home = Home::new();
    let mut command = home.leasehold(["server", "start", "--help"]);
    command.env("LEASEHOLD_AUTH_STRING", "admin:secret-of-mine");
    let help = run(command);
    assert_eq!(help.code, Some(0));
    assert!(!help.stdout.contains("secret-of-mine"), "{}", help.stdout);
}

#[test]
fn without_a_command_there_is_help() {
    let home = Home::new();
    let none: [&str; 0] = [];
    let ended = run(home.leasehold(none));
    assert_eq!(ended.code, Some(64));
    assert!(ended.stderr.contains("Usage: leasehold"), "{}", ended.stderr);
}

fn completions(home: &Home, shell: &str) -> String {
    let script = run(home.leasehold(["completions", shell]));
    assert_eq!((script.code, script.stderr.as_str()), (Some(0), ""));
    script.stdout
}

#[test]
fn bash_completes_with_its_script() {
    let home = Home::new();
    let path = home.write("leasehold.bash", &completions(&home, "bash")).display().to_string();
    let folder = Path::new(env!("CARGO_BIN_EXE_leasehold")).parent().unwrap();
    let ask = format!(
        "PATH={}:$PATH; source {path} && COMP_WORDS=(leasehold server st) COMP_CWORD=2 && \
         _clap_complete_leasehold leasehold st server && echo \"${{COMPREPLY[@]}}\"",
        folder.display()
    );
    let ended = run(home.command("bash", ["--norc", "-c", &ask]));
    assert_eq!((ended.code, ended.stdout.trim()), (Some(0), "start"), "{}", ended.stderr);
}

#[test]
fn there_are_completions_for_other_shells() {
    let home = Home::new();
    assert!(completions(&home, "zsh").starts_with("#compdef leasehold"));
    for shell in ["fish", "elvish", "powershell"] {
        assert!(completions(&home, shell).contains("LEASEHOLD_COMPLETE"), "{shell}");
    }
}
