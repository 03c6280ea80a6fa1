//! The password of the Redis: neither `ps`, nor the command, nor a message shows it.

use std::path::Path;
use std::process::Stdio;

use crate::alive::child_named;
use crate::program::{leasehold, stderr};
use crate::support::{RedisServer, send_signal, wait_for};

const SECRET: &str = "hunter2";

fn server() -> RedisServer {
    RedisServer::with_options(&["--requirepass", SECRET])
}

fn url(server: &RedisServer) -> String {
    format!("redis://:{SECRET}@127.0.0.1:{}/0", server.port)
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned()
}

#[test]
fn the_password_is_neither_in_ps_nor_in_the_commands_environment() {
    let server = server();
    let dir = tempfile::tempdir().unwrap();
    let environment = dir.path().join("environment");
    let file = dir.path().join("address");
    std::fs::write(&file, format!("{}\n", url(&server))).unwrap();
    let script = format!("env > {0}.part; mv {0}.part {0}; sleep 120", environment.display());
    let typed = url(&server);
    let file = file.display().to_string();
    for (flags, variable) in [
        (vec!["--redis", typed.as_str()], None),
        (vec![], Some(("LEASEHOLD_REDIS", typed.as_str()))),
        (vec!["--redis-file", file.as_str()], None),
        (vec![], Some(("LEASEHOLD_REDIS_FILE", file.as_str()))),
    ] {
        let args = [&["run"], &flags[..], &["--lock", "a", "--", "sh", "-c", &script]].concat();
        let mut run = leasehold(&server, &args);
        run.env_remove("LEASEHOLD_REDIS").envs(variable).stderr(Stdio::piped());
        let run = run.spawn().unwrap();
        wait_for("the command", || environment.exists());
        let warden = child_named(run.id(), "warden");
        for id in [run.id(), warden] {
            let line = read(Path::new(&format!("/proc/{id}/cmdline")));
            assert!(!line.contains(SECRET), "{flags:?}: {line:?}");
        }
        let name = read(Path::new(&format!("/proc/{}/comm", run.id())));
        assert_eq!(name, "leasehold\n");
        let of_warden = read(Path::new(&format!("/proc/{warden}/environ")));
        let of_command = read(&environment);
        assert!(of_command.contains("LEASEHOLD_RUNS="), "{of_command}");
        assert!(![of_command, of_warden].concat().contains(SECRET), "{flags:?}");
        send_signal(run.id(), "TERM");
        let ended = run.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(143), "{}", stderr(&ended));
        std::fs::remove_file(&environment).unwrap();
    }
}

#[test]
fn errors_do_not_show_the_password_however_it_is_written() {
    let server = server();
    for url in [
        "redis+unix:///no/such/socket?pass=hunter2",
        "redis://hunter2@127.0.0.1:1",
        "redis://127.0.0.1:1/0?password=hunter2",
        "redis://:hunter2@127.0.0.1:1",
        "http://:hunter2@127.0.0.1:1",
        "redis://:hunter2/?#@127.0.0.1:x",
        ":hunter2@127.0.0.1",
    ] {
        for args in [
            &["run", "--redis", url, "--lock", "a", "--", "true"][..],
            &["locks", "status", "--redis", url],
            &["redis-scan", "--url", url, "--file", "/dev/null"],
        ] {
            let failed = leasehold(&server, args).output().unwrap();
            let text = [failed.stdout.clone(), failed.stderr.clone()].concat();
            let text = String::from_utf8_lossy(&text);
            assert!(matches!(failed.status.code(), Some(64 | 69)), "{args:?}: {text}");
            assert!(!text.contains(SECRET) && text.contains("***"), "{args:?}: {text}");
        }
    }
}

#[test]
fn a_file_that_holds_no_address_is_78() {
    let server = server();
    let dir = tempfile::tempdir().unwrap();
    let empty = dir.path().join("empty");
    std::fs::write(&empty, "").unwrap();
    for path in [empty, dir.path().join("missing")] {
        let path = path.display().to_string();
        let args = ["run", "--redis-file", &path, "--lock", "a", "--", "true"];
        let failed = leasehold(&server, &args).output().unwrap();
        assert_eq!(failed.status.code(), Some(78), "{}", stderr(&failed));
        assert!(stderr(&failed).contains(&path), "{}", stderr(&failed));
    }
}
