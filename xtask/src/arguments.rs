//! The command line of `cargo xtask`.

use clap::{Parser, Subcommand, ValueEnum};

/// What CI runs and what a newcomer runs.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) task: Task,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Run the tests, installing what they need first
    ///
    /// Makes a Python environment under target/venvs for each file of tests/venvs, installs
    /// missing system packages when run as root on Debian or Ubuntu, builds the workspace
    /// once, and runs the suites named, or all of them.
    Test(TestArguments),
    /// Tell whether PyPI has a newer Prefect than the clients that are tested
    ///
    /// Asks pip, and fails if there is one. CI does not run this.
    ClientsNewest,
    /// Check what the architecture promises: which code may know which, and what stands where
    ///
    /// Takes a second. Each breach names the law, the file and the line, and says what to do.
    Laws,
    /// Send random bytes to everything that reads bytes from clients
    ///
    /// Fails at the first panic, and at the first answer that blames the server (5xx).
    Fuzz(FuzzArguments),
    /// Run everything that CI runs: formatting, lints, documentation, laws, licences, all tests
    Ci,
}

#[derive(Debug, Default, clap::Args)]
pub(crate) struct TestArguments {
    /// The suites to run [default: all]
    #[arg(value_enum)]
    pub(crate) suites: Vec<Suite>,

    /// Run the clients suite with this version of the Prefect client only; may be repeated
    #[arg(long = "client", value_name = "VERSION")]
    pub(crate) clients: Vec<String>,

    /// Run the gateway suite with every generation of Prefect's servers and clients
    #[arg(long)]
    pub(crate) whole: bool,

    /// Passed to pytest, as in `cargo xtask test clients -- -k gcl -x`
    #[arg(last = true, value_name = "PYTEST ARGUMENTS")]
    pub(crate) pytest: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct FuzzArguments {
    /// What to fuzz [default: all, one after the other]
    #[arg(value_enum)]
    pub(crate) target: Option<FuzzTarget>,

    /// For how long, for each target
    #[arg(long, default_value_t = 60.0)]
    pub(crate) minutes: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FuzzTarget {
    /// The readers of bodies and queries
    Body,
    /// A connection of the whole server
    Http,
    /// The API as /api/openapi.json describes it, with schemathesis
    Schemathesis,
}

impl TestArguments {
    /// Whether `suite` was asked for. What only the clients suite understands asks for it.
    pub(crate) fn wants(&self, suite: Suite) -> bool {
        if !self.suites.is_empty() {
            return self.suites.contains(&suite);
        }
        let clients_alone = !self.clients.is_empty() || !self.pytest.is_empty();
        !clients_alone || suite == Suite::Clients
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Suite {
    /// The tests written in Rust, of every crate, and the examples in their documentation
    Rust,
    /// The simulator, over 200 seeds
    Sim,
    /// The real Prefect clients against the real server, once for each version
    Clients,
    /// A real Prefect server behind the gateway, and the real client in front of it
    Gateway,
    /// The pages in a real Chromium, and the figures in a real Prometheus
    Pages,
    /// Random bytes and requests, for half a minute each; `cargo xtask fuzz` goes on for longer
    Fuzz,
    /// Everything that attacks at once, for half a minute; leasehold-bench goes on for longer
    Soak,
}
