//! The door for Prefect clients: the recorded contract, to the byte.

pub(crate) mod convert;
mod events;
pub(crate) mod limit_ref;
mod limits;
mod runs;
mod system;
mod tags;
pub(crate) mod unserved;

use crate::doors::routes::Routes;

pub(crate) use self::events::SOCKETS;

/// Paths whose last segment is an id, and the words that stand in the same place.
pub(crate) const BY_ID: [(&str, &[&str]); 4] =
    [(tags::BASE, tags::NAMED), runs::BY_ID[0], runs::BY_ID[1], runs::BY_ID[2]];

/// Adds the routes of this door.
pub(crate) fn add(routes: Routes) -> Routes {
    let routes = tags::add(limits::add(routes));
    system::add(events::add(runs::add(routes)))
}
