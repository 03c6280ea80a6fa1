//! The flags that say which Redis and which keys.

use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::{PossibleValuesParser, RangedU64ValueParser, TypedValueParser};
use leasehold_redis::{Address, Keys, Mechanism, Redis};

use crate::args::is_given;
use crate::exit::{Exit, Failure};

#[derive(Debug, Args)]
pub(crate) struct RedisFlags {
    /// Address of the Redis: redis://, rediss:// for TLS, redis+sentinel://, redis+cluster://. One
    /// with a password is safer in the variable or in a file
    #[arg(long, env = crate::argv::REDIS, hide_env_values = true, value_name = "URL")]
    redis: Option<String>,

    #[command(flatten)]
    file: RedisFile,

    /// Prefix of the keys, as TaskTiger's REDIS_PREFIX
    #[arg(long, default_value = "t")]
    prefix: String,
}

/// An address in a file, which other users may not read.
#[derive(Debug, Args)]
pub(crate) struct RedisFile {
    /// File that holds the address of the Redis, instead of the address itself
    #[arg(long, env = crate::argv::REDIS_FILE, value_name = "FILE")]
    redis_file: Option<PathBuf>,
}

impl RedisFlags {
    pub(crate) fn keys(&self) -> Keys {
        Keys::new(self.prefix.clone())
    }

    pub(crate) async fn connect(&self) -> Result<Redis, Failure> {
        let address = self.file.address("redis", self.redis.as_deref())?.ok_or_else(|| {
            Failure::new(
                Exit::Usage,
                "which Redis? give --redis or --redis-file, or set LEASEHOLD_REDIS",
            )
        })?;
        connect(&address).await
    }
}

impl RedisFile {
    /// The address, from the flag with this name or from the file. What is typed wins over
    /// variables.
    pub(crate) fn address(
        &self,
        flag: &str,
        url: Option<&str>,
    ) -> Result<Option<Address>, Failure> {
        let file_is_typed = is_given("redis-file");
        if file_is_typed && is_given(flag) {
            let message = format!("--{flag} and --redis-file both say which Redis: give one");
            return Err(Failure::new(Exit::Usage, message));
        }
        match (url, &self.redis_file) {
            (Some(url), None) => read(url).map(Some),
            (Some(url), Some(_)) if !file_is_typed => read(url).map(Some),
            (_, Some(path)) => read_file(path).map(Some),
            (None, None) => Ok(None),
        }
    }
}

fn read(url: &str) -> Result<Address, Failure> {
    url.parse().map_err(|error: leasehold_redis::AddressError| {
        Failure::new(Exit::Usage, error.to_string())
    })
}

fn read_file(path: &Path) -> Result<Address, Failure> {
    let wrong = |cause: String| Failure::new(Exit::Config, format!("{}: {cause}", path.display()));
    let text = std::fs::read_to_string(path)
        .map_err(|error| wrong(format!("failed to read the address of the Redis: {error}")))?;
    text.trim().parse().map_err(|error: leasehold_redis::AddressError| wrong(error.to_string()))
}

/// How many keys Redis may look at in one SCAN call.
pub(crate) fn count_parser() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=100_000)
}

/// Phases or mechanisms by their names.
pub(crate) fn mechanism_parser(
    choices: impl IntoIterator<Item = Mechanism>,
) -> impl TypedValueParser<Value = Mechanism> {
    let names = choices.into_iter().map(Mechanism::as_str);
    PossibleValuesParser::new(names).try_map(|name| name.parse::<Mechanism>())
}

pub(crate) async fn connect(address: &Address) -> Result<Redis, Failure> {
    Redis::connect(address).await.map_err(|fault| {
        let code = Exit::from(&fault);
        Failure::new(code, format!("failed to connect to {address}: {fault}"))
    })
}
