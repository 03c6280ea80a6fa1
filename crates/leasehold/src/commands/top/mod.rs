//! `leasehold top`: limits by pressure, their holders and their waiters, on a terminal.

mod model;
mod view;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use leasehold_client::Client;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use crate::commands::session::Session;
use crate::commands::slots;
use crate::duration;
use crate::exit::{Exit, Failure};
use model::{Model, Snapshot};

/// An answer that takes longer is shown as an outage.
const PATIENCE: Duration = Duration::from_secs(5);

/// See which limits are under pressure, who holds them, and who waits.
///
/// Refreshes itself. The fullest limits with the most waiters come first; below them stand the
/// holders and the waiters of the one that is selected.
///
/// Keys: up and down (or k and j) select a limit, space stops and goes on, q ends.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes:
    0  ended with q or Ctrl-C
   64  the command line is wrong, or this is no terminal
   69  the server cannot be reached at the start
   77  the server refused the login

Examples:
  leasehold top
  leasehold top --interval 500ms")]
pub(crate) struct Args {
    /// How often it asks the server
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = parse_interval)]
    interval: Duration,
}

fn parse_interval(text: &str) -> Result<Duration, String> {
    let interval = duration::parse(text)?;
    let is_allowed = interval >= Duration::from_millis(100);
    is_allowed.then_some(interval).ok_or_else(|| "has to be 100ms or longer".to_owned())
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<ExitCode, Failure> {
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        let message = "`leasehold top` needs a terminal; use `leasehold gcl ls` in a script";
        return Err(Failure::new(Exit::Usage, message));
    }
    let client = slots::connect(session)?;
    let mut model = Model::new(client.url());
    // What is wrong at the start is said as by every command.
    model.learn(Ok(Snapshot::look(&client, None).await?));
    let failed = |error| Failure::new(Exit::Os, format!("failed to use the terminal: {error}"));
    let mut ended = signal(SignalKind::terminate()).map_err(failed)?;
    let mut terminal = ratatui::try_init().map_err(failed)?;
    let shown = tokio::select! {
        shown = show(&mut terminal, &client, &mut model, args.interval) => shown,
        _ = ended.recv() => Ok(()),
    };
    ratatui::restore();
    shown.map_err(failed)?;
    Ok(ExitCode::SUCCESS)
}

/// Until the user ends it.
async fn show(
    terminal: &mut DefaultTerminal,
    client: &Client,
    model: &mut Model,
    interval: Duration,
) -> std::io::Result<()> {
    let mut keys = keys();
    let (answered, mut answers) = mpsc::channel(1);
    let mut next = Instant::now();
    let mut is_asking = false;
    loop {
        terminal.draw(|frame| view::draw(frame, model))?;
        tokio::select! {
            key = keys.recv() => match key {
                Some(Input::Key(key)) if is_end(key) => return Ok(()),
                Some(Input::Key(key)) => {
                    if act(model, key) {
                        next = Instant::now();
                    }
                }
                Some(Input::Resized) => {}
                None => return Ok(()),
            },
            Some(answer) = answers.recv() => {
                model.learn(answer);
                is_asking = false;
                next = Instant::now() + interval;
            }
            () = sleep_until(next), if !is_asking && !model.is_stopped => {
                is_asking = true;
                let (client, answered) = (client.clone(), answered.clone());
                let selected = model.selected().map(str::to_owned);
                tokio::spawn(async move {
                    let look = Snapshot::look(&client, selected.as_deref());
                    let answer = match timeout(PATIENCE, look).await {
                        Ok(Ok(snapshot)) => Ok(snapshot),
                        Ok(Err(error)) => Err(error.to_string()),
                        Err(_) => Err(format!("{} does not answer", client.url())),
                    };
                    // The view may have ended.
                    let _ = answered.send(answer).await;
                });
            }
        }
    }
}

enum Input {
    Key(KeyEvent),
    Resized,
}

/// Reads the terminal on a thread of its own: reading blocks.
fn keys() -> mpsc::Receiver<Input> {
    let (sender, receiver) = mpsc::channel(16);
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            let input = match event {
                Event::Key(key) if key.kind != KeyEventKind::Release => Input::Key(key),
                Event::Resize(..) => Input::Resized,
                _ => continue,
            };
            if sender.blocking_send(input).is_err() {
                return;
            }
        }
    });
    receiver
}

fn is_end(key: KeyEvent) -> bool {
    let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
    matches!(key.code, KeyCode::Char('q') | KeyCode::Esc)
        || is_control && key.code == KeyCode::Char('c')
}

/// `true` if the server is to be asked at once.
fn act(model: &mut Model, key: KeyEvent) -> bool {
    match key.code {
        KeyCode::Up | KeyCode::Char('k') => model.select(-1),
        KeyCode::Down | KeyCode::Char('j') => model.select(1),
        KeyCode::PageUp => model.select(-10),
        KeyCode::PageDown => model.select(10),
        KeyCode::Char(' ') => {
            model.is_stopped = !model.is_stopped;
            !model.is_stopped
        }
        _ => false,
    }
}
