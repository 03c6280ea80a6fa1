//! The log of events: in pages, and as a stream that goes on after an interruption.

use leasehold_api::events::{Event, EventPage, FindEvents};
use reqwest::Method;
use reqwest::Response;
use reqwest::header::{ACCEPT, HeaderMap, HeaderName, HeaderValue};
use tokio::time::{Duration, sleep, timeout};

use crate::backoff::Backoff;
use crate::client::{Client, encoded};
use crate::error::Error;
use crate::frames::Frames;
use crate::transport::Call;

const PATH: &str = "/leasehold/events";
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// A server says something every 15 s, if only that it is there.
const SILENCE_MAX: Duration = Duration::from_secs(40);

impl Client {
    /// A page of events. Its `next` is the `after` of the following one.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn events(&self, find: &FindEvents) -> Result<EventPage, Error> {
        self.get(&format!("{PATH}{}", query(find))).await
    }

    /// Events as they happen, from now on, or after the one with the number `find.after`.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), leasehold_client::Error> {
    /// # let client = leasehold_client::Client::from_env().unwrap();
    /// let mut events = client.follow_events(Default::default());
    /// while let Some(event) = events.next().await? {
    ///     println!("{} {} {:?}", event.occurred, event.kind, event.limit);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn follow_events(&self, find: EventFilter) -> EventStream {
        let EventFilter(find) = find;
        let last = find.after;
        EventStream {
            client: self.clone(),
            path: format!("{PATH}{}", query(&FindEvents { after: None, ..find })),
            last,
            open: None,
            backoff: Backoff::default(),
        }
    }
}

/// Which events to follow. All of them by default.
#[derive(Clone, Debug)]
pub struct EventFilter(pub FindEvents);

impl Default for EventFilter {
    fn default() -> Self {
        Self(FindEvents {
            limit: None,
            holder: None,
            kind: None,
            lease: None,
            since: None,
            until: None,
            after: None,
            newest_first: None,
            page_size: None,
        })
    }
}

/// Events as they happen. An interruption loses none: the stream goes on after the last one.
#[derive(Debug)]
pub struct EventStream {
    client: Client,
    path: String,
    /// The number of the last event.
    last: Option<u64>,
    open: Option<(Response, Frames)>,
    backoff: Backoff,
}

impl EventStream {
    /// The next event. While the server cannot be reached, this waits; [`try_next`](Self::try_next)
    /// says so.
    ///
    /// # Errors
    /// If the server refuses the request.
    pub async fn next(&mut self) -> Result<Option<Event>, Error> {
        loop {
            match self.try_next().await {
                Err(error) if error.is_outage() => {
                    sleep(self.backoff.next(error.retry_after(), fastrand::f64())).await;
                }
                outcome => return outcome.map(Some),
            }
        }
    }

    /// The next event. After an error, the next call connects again.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn try_next(&mut self) -> Result<Event, Error> {
        loop {
            let (mut response, mut frames) = match self.open.take() {
                Some(open) => open,
                None => (self.connect().await?, Frames::default()),
            };
            if let Some(data) = frames.next() {
                self.open = Some((response, frames));
                let event: Event = serde_json::from_str(&data).map_err(|error| {
                    let detail = format!("cannot read an event: {error}");
                    self.client.transport().unexpected(200, detail)
                })?;
                self.last = Some(event.number);
                return Ok(event);
            }
            let transport = self.client.transport();
            let silent = || Error::Unreachable {
                url: self.client.url().to_owned(),
                cause: "the stream is silent".to_owned(),
                is_unsent: false,
            };
            let chunk = timeout(SILENCE_MAX, response.chunk()).await.map_err(|_| silent())?;
            match chunk.map_err(|error| transport.unreachable(&error))? {
                Some(bytes) => {
                    frames.push(&bytes);
                    self.backoff = Backoff::default();
                    self.open = Some((response, frames));
                }
                None => return Err(transport.closed()),
            }
        }
    }

    async fn connect(&self) -> Result<Response, Error> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        if let Some(last) = self.last {
            headers.insert(LAST_EVENT_ID, HeaderValue::from(last));
        }
        let path = self.path.clone();
        let call = Call { method: Method::GET, path, body: None, headers, timeout: None };
        self.client.transport().open(&call).await
    }
}

/// `?limit=database&kind=lease`
fn query(find: &FindEvents) -> String {
    let fields = [
        ("limit", find.limit.clone()),
        ("holder", find.holder.clone()),
        ("kind", find.kind.clone()),
        ("lease", find.lease.map(|lease| lease.to_string())),
        ("since", find.since.clone()),
        ("until", find.until.clone()),
        ("after", find.after.map(|after| after.to_string())),
        ("newest_first", find.newest_first.map(|newest| newest.to_string())),
        ("page_size", find.page_size.map(|size| size.to_string())),
    ];
    let given = fields.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let pairs: Vec<_> = given.map(|(name, value)| format!("{name}={}", encoded(&value))).collect();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}
