//! The last hour and the last day of each limit, for charts: kept in the records, so that a restart
//! loses no more than the present minute.

use leasehold_engine::Timestamp;
use leasehold_node::Unavailable;
use leasehold_records::{Chart, Moment};

use super::Figures;
use crate::records::Recorder;

/// Writes the present minute.
pub(super) async fn write(figures: &Figures, recorder: &Recorder, now: Timestamp) {
    let minute = figures.by_limit().take_minute();
    if minute.is_empty() {
        return;
    }
    let written = recorder.write(move |records| records.add_moments(&minute, now.as_micros()));
    if let Err(error) = written.await {
        tracing::debug!(%error, "a minute of the charts is lost");
    }
}

/// The last hour and the last day of a limit.
pub(crate) async fn chart(
    figures: &Figures,
    recorder: &Recorder,
    name: String,
    now: Timestamp,
) -> Result<(Chart, Chart), Unavailable> {
    let present = figures.by_limit().minute_of(&name);
    let read = recorder.write(move |records| {
        let at = now.as_micros();
        let hour = records.chart(&name, Moment::MINUTE_SECONDS, at)?;
        let day = records.chart(&name, Moment::QUARTER_SECONDS, at)?;
        Ok((hour, day))
    });
    let (mut hour, mut day) = read.await?;
    hour.add_present(present);
    day.add_present(present);
    Ok((hour, day))
}
