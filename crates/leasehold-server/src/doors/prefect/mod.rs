//! The door for Prefect clients: it keeps the recorded contract to the byte.

pub(crate) mod convert;
pub(crate) mod error;
mod events;
mod extract;
mod limit_holders;
mod limit_ref;
mod limits;
mod paths;
mod runs;
mod system;
mod tags;
pub(crate) mod unserved;

use crate::doors::routes::Routes;

pub(crate) use self::paths::{is_known, is_socket};

/// Adds the routes of this door.
pub(crate) fn add(routes: Routes) -> Routes {
    let routes = limit_holders::add(limits::add(routes));
    system::add(events::add(runs::add(tags::add(routes))))
}
