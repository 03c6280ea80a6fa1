//! The native door: `/api/leases`, `/api/leasehold/events`, and the API's description.

pub(crate) mod convert;
mod docs;
pub(crate) mod error;
mod events;
mod extract;
mod leases;
mod migration;
pub(crate) mod openapi;
pub(crate) mod paths;

use crate::app::App;
use crate::doors::routes::Routes;

pub(crate) use self::paths::is_native;

/// Adds the routes of this door.
pub(crate) fn add(routes: Routes, app: &App) -> Routes {
    let routes = migration::add(events::add(leases::add(routes)));
    docs::add(openapi::add(routes, &app.config().bodies))
}
