//! `docs/options.md`, written from the program's own command line, so that it cannot go stale.

use std::env;
use std::fmt::Write;
use std::fs;

use clap::{Arg, Command};

use super::command;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/options.md");
/// Set, the page is written and not compared.
const WRITE: &str = "LEASEHOLD_WRITE_DOCS";

const INTRODUCTION: &str = "\
# Options of `leasehold server start`

Each option is a flag, an environment variable, and a key of a TOML file. A flag wins over its \
variable, the variable over the file, and the file over the variables of a Prefect server below. \
An empty variable counts as unset.

A test writes this page from the program itself: `LEASEHOLD_WRITE_DOCS=1 cargo test -p leasehold \
--bin leasehold the_page_of_options`.
";

fn server_start(cli: &Command) -> &Command {
    let server = cli.find_subcommand("server").and_then(|server| server.find_subcommand("start"));
    server.expect("there is such a command")
}

fn row(page: &mut String, arg: &Arg) {
    let flag = arg.get_long().expect("each option has a name");
    let values: Vec<_> = arg.get_value_names().into_iter().flatten().collect();
    let variable = arg.get_env().expect("each option has a variable").to_string_lossy();
    let key =
        if flag == "config" { "".to_owned() } else { format!("`{}`", flag.replace('-', "_")) };
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let possible: Vec<_> = arg.get_possible_values();
    let choices: Vec<_> = possible.iter().map(|value| format!("`{}`", value.get_name())).collect();
    let choices = if choices.is_empty() || values.iter().any(|name| *name == "BOOL") {
        String::new()
    } else {
        format!(" One of {}.", choices.join(", "))
    };
    let default = arg.get_default_values().join(",".as_ref());
    let help = match default.to_str().filter(|default| !default.is_empty()) {
        Some(default) => format!("{help} [default: {default}]"),
        None => help,
    };
    let help = help.replace('|', "\\|").replace('\n', " ");
    let value = values.first().map(|value| format!(" <{value}>")).unwrap_or_default();
    writeln!(page, "| `--{flag}{value}` | {help}{choices} | `{variable}` | {key} |")
        .expect("a text takes everything");
}

fn page() -> String {
    let cli = command();
    let start = server_start(&cli);
    let mut page = format!("{INTRODUCTION}\n| flag | what it does | variable | key |\n");
    page.push_str("| --- | --- | --- | --- |\n");
    start.get_arguments().filter(|arg| arg.get_env().is_some()).for_each(|arg| row(&mut page, arg));
    let help = start.get_after_help().map(ToString::to_string).unwrap_or_default();
    write!(page, "\n## More\n\n```text\n{}\n```\n", help.trim_end())
        .expect("a text takes everything");
    page
}

#[test]
fn the_page_of_options_is_what_the_program_says() {
    let page = page();
    if env::var_os(WRITE).is_some() {
        fs::write(PATH, &page).unwrap();
    }
    let there = fs::read_to_string(PATH).unwrap_or_default();
    assert!(
        there == page,
        "docs/options.md is stale: {WRITE}=1 cargo test -p leasehold --bin leasehold \
         the_page_of_options writes it anew"
    );
}
