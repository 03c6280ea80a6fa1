//! What commands that speak to a server have in common: which server, as whom, whether to ask, and
//! how much to say. Each option may stand before or behind the command, as with `prefect`.

use crate::output;

/// Options of a whole call.
#[derive(Debug, clap::Args)]
pub(crate) struct Session {
    /// Ask before something is deleted, also without a terminal
    #[arg(long, global = true, hide = true, overrides_with = "no_prompt")]
    prompt: bool,

    /// Ask nothing
    #[arg(long, global = true, hide = true)]
    no_prompt: bool,

    /// The profile of Prefect's file that says which server
    #[arg(long, global = true, hide = true, value_name = "NAME")]
    pub(crate) profile: Option<String>,

    /// Say more: which server, why, and each request
    #[arg(long, global = true, hide = true)]
    pub(crate) verbose: bool,
}

/// The variable with which Prefect's users turn questions on or off.
const PROMPT: &str = "PREFECT_CLI_PROMPT";

impl Session {
    /// Whether to ask before something is deleted.
    pub(crate) fn asks(&self) -> bool {
        let variable = std::env::var(PROMPT).unwrap_or_default().to_lowercase();
        match (self.prompt, self.no_prompt, variable.as_str()) {
            (true, _, _) => true,
            (_, true, _) => false,
            (_, _, "1" | "true" | "yes" | "on" | "t" | "y") => true,
            (_, _, "0" | "false" | "no" | "off" | "f" | "n") => false,
            _ => output::a_person_reads(),
        }
    }
}
