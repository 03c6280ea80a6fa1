//! A real PostgreSQL, which the tests start in a folder of their own and stop when none needs it.

pub(crate) mod proxy;

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use leasehold_journal::{Node, PostgresJournal, PostgresSettings};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid};

/// A server that listens on a socket in its folder.
pub(crate) struct Server {
    process: Mutex<Child>,
    folder: tempfile::TempDir,
    user: Option<User>,
}

/// A database of a test's own on the shared server.
pub(crate) struct Database {
    pub(crate) server: Arc<Server>,
    pub(crate) name: String,
}

static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
static DATABASES: AtomicU32 = AtomicU32::new(0);

impl Database {
    /// A new one, on the server that all tests of this program share.
    pub(crate) fn new() -> Self {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        let server = shared.upgrade().unwrap_or_else(|| Arc::new(Server::start()));
        *shared = Arc::downgrade(&server);
        drop(shared);
        Self::on(server)
    }

    /// A new one on this server.
    pub(crate) fn on(server: Arc<Server>) -> Self {
        let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        server.psql("postgres", &format!("CREATE DATABASE {name}"));
        Self { server, name }
    }

    pub(crate) fn settings(&self) -> PostgresSettings {
        self.settings_with("")
    }

    /// With further parameters.
    pub(crate) fn settings_with(&self, parameters: &str) -> PostgresSettings {
        let host = self.server.folder.path().display().to_string();
        let address = format!("postgres:///{}?sslmode=disable{parameters}", self.name);
        let variable = |name: &str| match name {
            "PGHOST" => Some(host.clone()),
            "PGUSER" => Some("test".to_owned()),
            _ => None,
        };
        PostgresSettings::read(&address, None, variable).unwrap()
    }

    pub(crate) fn open(&self) -> PostgresJournal {
        self.open_as("one").unwrap()
    }

    pub(crate) fn open_as(
        &self,
        name: &str,
    ) -> Result<PostgresJournal, leasehold_journal::PostgresError> {
        PostgresJournal::open(self.settings(), node(name))
    }

    /// What a statement answers.
    pub(crate) fn psql(&self, sql: &str) -> String {
        self.server.psql(&self.name, sql)
    }
}

/// A node that owns its ledger for four seconds without a word.
pub(crate) fn node(name: &str) -> Node {
    Node { name: name.to_owned(), takeover: Duration::from_secs(5) }
}

impl Server {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let user = geteuid().is_root().then(|| {
            let user = User::from_name("postgres").unwrap();
            user.or_else(|| User::from_name("nobody").unwrap()).unwrap()
        });
        if let Some(user) = &user {
            chown(folder.path(), Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
        }
        let data = folder.path().join("data");
        let mut initdb = Command::new(program("initdb"));
        initdb.args(["--username=test", "--auth=trust", "--encoding=UTF8", "--locale=C"]);
        initdb.args(["--no-sync", "--pgdata"]).arg(&data);
        let output = run_as(&mut initdb, user.as_ref()).current_dir(&folder).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let process = Mutex::new(launch(folder.path(), user.as_ref()));
        let server = Self { process, folder, user };
        server.wait_until_ready();
        server
    }

    /// Ends the server at once, as a crash does, and starts it again.
    pub(crate) fn restart(&self) {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        stop(&mut process);
        *process = launch(self.folder.path(), self.user.as_ref());
        drop(process);
        self.wait_until_ready();
    }

    /// Where its socket is.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join(".s.PGSQL.5432")
    }

    pub(crate) fn psql(&self, database: &str, sql: &str) -> String {
        let output = self.try_psql(database, sql);
        output.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    fn try_psql(&self, database: &str, sql: &str) -> Result<String, String> {
        let mut psql = Command::new(program("psql"));
        psql.args(["--no-psqlrc", "--tuples-only", "--no-align", "--username=test", "--host"]);
        psql.arg(self.folder.path()).args(["--dbname", database, "--command", sql]);
        let output = psql.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    fn wait_until_ready(&self) {
        for _ in 0..200 {
            if self.try_psql("postgres", "SELECT 1").is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        panic!("the server does not start: {log}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        stop(&mut self.process.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// An immediate shutdown: the server ends its children too.
fn stop(process: &mut Child) {
    let _ = kill(Pid::from_raw(process.id().cast_signed()), Signal::SIGQUIT);
    let _ = process.wait();
}

fn launch(folder: &Path, user: Option<&User>) -> Child {
    let log = fs::File::options().create(true).append(true).open(folder.join("log")).unwrap();
    let mut postgres = Command::new(program("postgres"));
    postgres.arg("-D").arg(folder.join("data")).arg("-k").arg(folder);
    postgres.args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=60"]);
    let postgres = run_as(&mut postgres, user).current_dir(folder).stdin(Stdio::null());
    postgres.stdout(log.try_clone().unwrap()).stderr(log).process_group(0).spawn().unwrap()
}

/// A program of PostgreSQL, in the path or where Debian keeps it.
fn program(name: &str) -> PathBuf {
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let found = debian.map(|version| version.path().join("bin").join(name));
    found.filter(|path| path.is_file()).max().unwrap_or_else(|| name.into())
}

fn run_as<'a>(command: &'a mut Command, user: Option<&User>) -> &'a mut Command {
    if let Some(user) = user {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    command
}
