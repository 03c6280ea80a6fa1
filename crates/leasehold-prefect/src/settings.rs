//! The operator's choices that validation depends on.

/// The operator's choices that validation depends on.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The shortest lease that may be asked for; 60 by contract.
    pub lease_seconds_min: f64,
    /// The longest lease that may be asked for; 86400 by contract.
    pub lease_seconds_max: f64,
    /// The length of a lease when none is asked for; 300 by contract.
    pub lease_seconds_default: f64,
    /// A filter's default and maximum number of results; 200 by contract.
    pub page_size: u64,
    /// Whether a request that takes or gives back slots may name no limit. By contract it may not,
    /// but clients before 3.9 may.
    pub may_name_nothing: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lease_seconds_min: 60.0,
            lease_seconds_max: 86_400.0,
            lease_seconds_default: 300.0,
            page_size: 200,
            may_name_nothing: false,
        }
    }
}
