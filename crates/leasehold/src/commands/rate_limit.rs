//! `leasehold rate-limit`: returns when the rate allows it.

use std::process::ExitCode;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;

use crate::commands::session::Session;
use crate::commands::slots::{self, Queue};
use crate::duration;
use crate::exit::Failure;
use crate::output;

/// Wait until a rate limit allows it.
///
/// Takes slots of a limit with a decay, and returns when it has them. They drain by themselves:
/// there is nothing to give back. Do what is limited after it has returned.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes:
    0  granted
    1  there is no such limit, it has no decay, or it never has so many slots
   64  the command line is wrong
   69  the server cannot be reached
   75  not granted in time
   77  the server refused the login

Examples:
  leasehold rate-limit api && curl https://api.example.com/
  leasehold rate-limit api --slots 10 --wait 1m")]
pub(crate) struct Args {
    /// The limit
    #[arg(value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    #[arg(add = crate::complete::limits())]
    name: String,

    /// How many slots
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    slots: u64,

    /// How long to wait; 0 tries once; without it, for ever
    #[arg(long, value_parser = duration::parse)]
    wait: Option<Duration>,

    /// Requests with a higher priority are granted first
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    priority: i32,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<ExitCode, Failure> {
    let client = slots::connect(session)?;
    let queue = Queue::new(&client, vec![args.name.clone()], args.wait);
    let asked = client
        .rate_limit(&args.name)
        .slots(args.slots)
        .wait(slots::wait_of(args.wait))
        .priority(args.priority)
        .on_waiting(queue.watcher());
    let granted = tokio::select! {
        biased;
        granted = asked.into_future() => granted,
        never = queue.report() => match never {},
    };
    output::progress_end();
    match granted {
        Ok(_) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(slots::not_granted(&client, error, &queue).await),
    }
}
