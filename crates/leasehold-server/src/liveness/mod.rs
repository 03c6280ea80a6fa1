//! Whether the holder of a lease still lives, and which holder it is.

pub(crate) mod evidence;
pub(crate) mod introductions;
pub(crate) mod joins;
pub(crate) mod observe;
pub(crate) mod passed;
pub(crate) mod released;
