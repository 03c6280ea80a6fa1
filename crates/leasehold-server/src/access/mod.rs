//! Which requests the server admits, and which client sends them.

pub(crate) mod agent;
pub(crate) mod csrf;
pub(crate) mod gate;
pub(crate) mod head;
pub(crate) mod identity;
pub(crate) mod origin;
pub(crate) mod pages;
pub mod peer;
pub(crate) mod visits;
