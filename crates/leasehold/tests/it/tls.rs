//! TLS to a real Redis, with a certificate authority of the test's own.

use std::path::Path;
use std::process::Command;

use crate::program::{leasehold, stderr};
use crate::support::{RedisServer, free_port};

fn openssl(dir: &Path, args: &str) {
    let output = Command::new("openssl").current_dir(dir).args(args.split(' ')).output().unwrap();
    assert!(output.status.success(), "openssl {args}: {}", stderr(&output));
}

#[test]
fn rediss_checks_the_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    std::fs::write(path("leaf.ext"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    openssl(
        dir.path(),
        "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=test-ca",
    );
    openssl(
        dir.path(),
        "req -newkey rsa:2048 -nodes -keyout leaf.key -out leaf.csr -subj /CN=redis",
    );
    openssl(
        dir.path(),
        "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out leaf.pem -days 2 -extfile leaf.ext",
    );
    let tls_port = free_port();
    let server = RedisServer::with_options(&[
        "--tls-port",
        &tls_port.to_string(),
        "--tls-cert-file",
        &path("leaf.pem"),
        "--tls-key-file",
        &path("leaf.key"),
        "--tls-ca-cert-file",
        &path("ca.pem"),
        "--tls-auth-clients",
        "no",
    ]);
    let url = format!("rediss://127.0.0.1:{tls_port}");
    let run = |trusted: &str| {
        let args = ["run", "--redis", &url, "--lock", "a", "--mechanism", "dual", "--", "true"];
        leasehold(&server, &args).env("SSL_CERT_FILE", trusted).output().unwrap()
    };
    let trusted = run(&path("ca.pem"));
    assert!(trusted.status.success(), "{}", stderr(&trusted));
    let stranger = run("/dev/null");
    assert_eq!(stranger.status.code(), Some(69));
    assert!(stderr(&stranger).contains("certificate"), "{}", stderr(&stranger));
}
