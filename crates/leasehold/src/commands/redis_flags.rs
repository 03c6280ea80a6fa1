//! The flags that say which Redis and which keys.

use crate::exit::{Exit, Failure};
use clap::Args;
use leasehold_redis::{Address, Keys, Redis};

#[derive(Debug, Args)]
pub(crate) struct RedisFlags {
    /// Address of the Redis: redis://, rediss:// for TLS, redis+sentinel://, redis+cluster://
    #[arg(long, env = "LEASEHOLD_REDIS", hide_env_values = true, value_name = "URL")]
    redis: String,

    /// Prefix of the keys, as TaskTiger's REDIS_PREFIX
    #[arg(long, default_value = "t")]
    prefix: String,
}

impl RedisFlags {
    pub(crate) fn keys(&self) -> Keys {
        Keys::new(self.prefix.clone())
    }

    pub(crate) async fn connect(&self) -> Result<Redis, Failure> {
        connect(&address(&self.redis)?).await
    }
}

pub(crate) fn address(url: &str) -> Result<Address, Failure> {
    url.parse().map_err(|error: leasehold_redis::AddressError| {
        Failure::new(Exit::Usage, error.to_string())
    })
}

pub(crate) async fn connect(address: &Address) -> Result<Redis, Failure> {
    Redis::connect(address).await.map_err(|fault| {
        let code = Exit::from(&fault);
        Failure::new(code, format!("failed to connect to {address}: {fault}"))
    })
}
