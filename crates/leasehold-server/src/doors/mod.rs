//! The doors: each folder is one API, with its routes, extractors, errors and conversions.

pub(crate) mod convert;
pub(crate) mod gateway;
mod groups;
pub(crate) mod native;
mod operation;
pub(crate) mod operations;
mod pages;
pub(crate) mod prefect;
mod routes;

use self::routes::Routes;
use crate::app::App;

/// The routes of all doors.
pub(crate) fn all(app: &App) -> Routes {
    let routes = native::add(prefect::add(Routes::default()), app);
    gateway::add(operations::add(pages::add(routes)))
}
