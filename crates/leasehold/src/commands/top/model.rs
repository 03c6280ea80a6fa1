//! What the view shows: the limits by pressure, and one of them in detail. Asks the server; draws
//! nothing.

use leasehold_api::leases::{LimitLease, Waiter};
use leasehold_client::{Client, Error, Limit};

/// For so many limits the waiters are counted: those with the most pressure.
const COUNTED_MAX: usize = 30;

/// A limit in the list.
pub(super) struct Row {
    pub(super) limit: Limit,
    /// How many requests wait; `None` if they were not counted.
    pub(super) waiting: Option<usize>,
}

/// A limit in detail.
pub(super) struct Detail {
    pub(super) name: String,
    pub(super) holders: Vec<LimitLease>,
    pub(super) waiters: Vec<Waiter>,
}

/// What the server says at one moment.
pub(super) struct Snapshot {
    rows: Vec<Row>,
    detail: Option<Detail>,
}

impl Snapshot {
    /// Asks the server. Without a selection, the first limit is shown in detail.
    pub(super) async fn look(client: &Client, selected: Option<&str>) -> Result<Self, Error> {
        let limits = client.limits().await?;
        let mut rows: Vec<_> =
            limits.into_iter().map(|limit| Row { limit, waiting: None }).collect();
        rows.sort_by(|a, b| b.fullness().total_cmp(&a.fullness()));
        for row in rows.iter_mut().take(COUNTED_MAX).filter(|row| row.limit.active_slots > 0) {
            row.waiting = found(client.waiters(&row.limit.name).await)?.map(|all| all.len());
        }
        rows.sort_by(|a, b| b.pressure().total_cmp(&a.pressure()));
        let is_there = |name: &&str| rows.iter().any(|row| row.limit.name == **name);
        let shown = selected.filter(is_there).or(rows.first().map(|row| row.limit.name.as_str()));
        let detail = match shown {
            Some(name) => Detail::look(client, name).await?,
            None => None,
        };
        Ok(Self { rows, detail })
    }
}

impl Row {
    /// The part of its slots that is taken.
    pub(super) fn fullness(&self) -> f64 {
        if !self.limit.active {
            return 0.0;
        }
        self.limit.active_slots as f64 / self.limit.limit.max(1) as f64
    }

    /// A waiter weighs more than any number of taken slots.
    fn pressure(&self) -> f64 {
        self.waiting.unwrap_or(0) as f64 + self.fullness()
    }
}

impl Detail {
    /// `None` if the limit was deleted meanwhile.
    async fn look(client: &Client, name: &str) -> Result<Option<Self>, Error> {
        let Some(holders) = found(client.holders(name).await)? else { return Ok(None) };
        let Some(waiters) = found(client.waiters(name).await)? else { return Ok(None) };
        Ok(Some(Self { name: name.to_owned(), holders, waiters }))
    }
}

fn found<T>(answer: Result<T, Error>) -> Result<Option<T>, Error> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Everything that is on the screen.
pub(super) struct Model {
    pub(super) url: String,
    pub(super) rows: Vec<Row>,
    pub(super) detail: Option<Detail>,
    /// The place of the selected limit in the list.
    pub(super) at: usize,
    /// What the last look failed with.
    pub(super) trouble: Option<String>,
    /// Whether the user has stopped the refreshing.
    pub(super) is_stopped: bool,
    /// Whether the user has selected a limit. Otherwise the first one is.
    is_chosen: bool,
}

impl Model {
    pub(super) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            rows: Vec::new(),
            detail: None,
            at: 0,
            trouble: None,
            is_stopped: false,
            is_chosen: false,
        }
    }

    /// Takes what a look answered. After a failure the last picture stays.
    pub(super) fn learn(&mut self, answer: Result<Snapshot, String>) {
        match answer {
            Ok(Snapshot { rows, detail }) => {
                let selected = self.selected().map(str::to_owned);
                self.at = selected
                    .filter(|_| self.is_chosen)
                    .and_then(|name| rows.iter().position(|row| row.limit.name == name))
                    .unwrap_or(0);
                self.rows = rows;
                self.detail = detail;
                self.trouble = None;
            }
            Err(trouble) => self.trouble = Some(trouble),
        }
    }

    /// The name of the selected limit.
    pub(super) fn selected(&self) -> Option<&str> {
        let row = self.rows.get(self.at)?;
        Some(&row.limit.name)
    }

    /// Moves the selection. `true` if it has moved.
    pub(super) fn select(&mut self, by: isize) -> bool {
        let last = self.rows.len().saturating_sub(1);
        let to = self.at.saturating_add_signed(by).min(last);
        self.is_chosen = true;
        let has_moved = to != self.at;
        self.at = to;
        has_moved
    }
}
