//! A step: a header, a command, and how long it took. The first one that fails ends the run.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

/// Does `work` under a header, and names the step if it fails.
pub(crate) fn step<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    println!("\n── {name}");
    let started = Instant::now();
    let outcome = work().with_context(|| format!("step failed: {name}"))?;
    println!("── {name}: done in {:.1} s", started.elapsed().as_secs_f64());
    Ok(outcome)
}

/// Runs a command to its end, its output going where ours goes.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    show(command);
    let status = command.status().with_context(|| cannot_start(command))?;
    succeeded(status)
}

/// Runs a command, its output going where ours goes and also, line by line, to `read`.
pub(crate) fn run_reading(command: &mut Command, mut read: impl FnMut(&str)) -> Result<ExitStatus> {
    show(command);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| cannot_start(command))?;
    let (sender, lines) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        if let Some(stdout) = child.stdout.take() {
            let sender = sender.clone();
            scope.spawn(move || copy_lines(stdout, std::io::stdout(), &sender));
        }
        if let Some(stderr) = child.stderr.take() {
            scope.spawn(move || copy_lines(stderr, std::io::stderr(), &sender));
        }
        for line in lines {
            read(&line);
        }
    });
    Ok(child.wait()?)
}

/// An error unless the command ended well.
pub(crate) fn succeeded(status: ExitStatus) -> Result<()> {
    if !status.success() {
        bail!("{status}");
    }
    Ok(())
}

fn copy_lines(from: impl Read, mut to: impl Write, sender: &std::sync::mpsc::Sender<String>) {
    // Ends at the end of the pipe. A terminal that went away does not stop the tests.
    for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).into_owned();
        let _ = writeln!(to, "{line}");
        let _ = sender.send(line);
    }
}

fn show(command: &Command) {
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect();
    println!("$ {}", words.join(" "));
}

fn cannot_start(command: &Command) -> String {
    format!("cannot start {}", command.get_program().to_string_lossy())
}
