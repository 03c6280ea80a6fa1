//! The Lua scripts: every step that has to look before it writes. They read the clock of Redis,
//! never the caller's.

use std::sync::LazyLock;

use redis::Script;

/// A script with its text, so that a simulation can run the same text without Redis.
pub(crate) struct Step {
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the simulation runs the text; Redis gets the compiled script")
    )]
    pub(crate) text: &'static str,
    pub(crate) script: LazyLock<Script>,
}

macro_rules! step {
    ($(#[$doc:meta])* $name:ident, $file:literal) => {
        $(#[$doc])*
        pub(crate) static $name: Step = Step {
            text: concat!(include_str!("lua/prelude.lua"), include_str!(concat!("lua/", $file))),
            script: LazyLock::new(|| {
                Script::new(concat!(include_str!("lua/prelude.lua"), include_str!(concat!("lua/", $file))))
            }),
        };
    };
}

step!(OLD_ACQUIRE, "old_acquire.lua");
step!(OLD_RENEW, "old_renew.lua");
step!(TOKEN_ACQUIRE, "token_acquire.lua");
step!(TOKEN_RENEW, "token_renew.lua");
step!(RELEASE, "release.lua");
step!(SEMAPHORE_ACQUIRE, "semaphore_acquire.lua");
step!(SEMAPHORE_SYSTEM_LOCK, "semaphore_system_lock.lua");
step!(HEARTBEAT, "heartbeat.lua");
step!(PHASE_MOVE, "phase_move.lua");
step!(CLEANUP, "cleanup.lua");
