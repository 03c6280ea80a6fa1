//! The points of the charts of limits: an hour of minutes, and a day of quarters of an hour.

use rusqlite::params;

use super::row::{integer, natural};
use super::{Result, Transaction};
use crate::moment::{Chart, Moment};

const SPANS: [u64; 2] = [Moment::MINUTE_SECONDS, Moment::QUARTER_SECONDS];

impl Transaction<'_> {
    /// Adds what happened on limits just now, and deletes what is too old for a chart.
    pub fn add_moments(&self, limits: &[(String, Moment)], at_micros: i64) -> Result<()> {
        for seconds in SPANS {
            let begin = begin_of(at_micros, seconds);
            for (name, moment) in limits {
                self.require_space()?;
                self.execute(
                    "INSERT INTO moments
                         (limit_name, seconds, begin_micros, taken, waiting, granted, refused)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                     ON CONFLICT (limit_name, seconds, begin_micros) DO UPDATE SET
                         taken = CASE WHEN moments.taken < excluded.taken
                             THEN excluded.taken ELSE moments.taken END,
                         waiting = CASE WHEN moments.waiting < excluded.waiting
                             THEN excluded.waiting ELSE moments.waiting END,
                         granted = moments.granted + excluded.granted,
                         refused = moments.refused + excluded.refused",
                    params![
                        name,
                        integer(seconds),
                        begin,
                        integer(moment.taken),
                        integer(moment.waiting),
                        integer(moment.granted),
                        integer(moment.refused),
                    ],
                )?;
            }
            self.execute(
                "DELETE FROM moments WHERE seconds = ?1 AND begin_micros < ?2",
                params![integer(seconds), first_of(at_micros, seconds)],
            )?;
        }
        Ok(())
    }

    /// The last stretches of a limit, up to the present one.
    pub fn chart(&self, limit: &str, seconds: u64, at_micros: i64) -> Result<Chart> {
        let begin_micros = first_of(at_micros, seconds);
        let found = self.all(
            "SELECT begin_micros, taken, waiting, granted, refused FROM moments
             WHERE limit_name = ?1 AND seconds = ?2 AND begin_micros >= ?3",
            params![limit, integer(seconds), begin_micros],
            |row| {
                let moment = Moment {
                    taken: natural(row, 1)?,
                    waiting: natural(row, 2)?,
                    granted: natural(row, 3)?,
                    refused: natural(row, 4)?,
                };
                Ok((row.get::<_, i64>(0)?, moment))
            },
        )?;
        let kept = usize::try_from(Moment::kept(seconds)).unwrap_or(0);
        let mut moments = vec![Moment::default(); kept];
        for (begin, moment) in found {
            let at = (begin - begin_micros) / (integer(seconds) * 1_000_000);
            if let Some(place) = usize::try_from(at).ok().and_then(|at| moments.get_mut(at)) {
                *place = moment;
            }
        }
        Ok(Chart { begin_micros, seconds, moments })
    }
}

/// When the stretch begins in which a time lies.
fn begin_of(at_micros: i64, seconds: u64) -> i64 {
    let micros = integer(seconds) * 1_000_000;
    at_micros.div_euclid(micros) * micros
}

/// When the first stretch begins that is kept.
fn first_of(at_micros: i64, seconds: u64) -> i64 {
    let before = integer(Moment::kept(seconds).saturating_sub(1) * seconds) * 1_000_000;
    begin_of(at_micros, seconds).saturating_sub(before)
}

#[cfg(test)]
mod tests {
    use crate::moment::Moment;
    use crate::store::{Bounds, Records};

    const MINUTE: i64 = 60_000_000;

    #[test]
    fn a_chart_has_the_last_hour_and_the_last_day() {
        let mut records = Records::in_memory(Bounds::default()).unwrap();
        let records = records.begin().unwrap();
        let moment = |granted, taken| Moment { granted, taken, ..Moment::default() };
        let add = |moment, at| records.add_moments(&[("db".to_owned(), moment)], at).unwrap();
        add(moment(1, 5), 0);
        add(moment(2, 3), 100 * MINUTE);
        add(moment(4, 9), 100 * MINUTE + 1);
        let now = 101 * MINUTE;
        let hour = records.chart("db", Moment::MINUTE_SECONDS, now).unwrap();
        assert_eq!(hour.moments.len(), 60);
        assert_eq!(hour.moments[58], moment(6, 9));
        assert_eq!(hour.moments.iter().map(|it| it.granted).sum::<u64>(), 6);
        let day = records.chart("db", Moment::QUARTER_SECONDS, now).unwrap();
        assert_eq!(day.moments.len(), 96);
        assert_eq!((day.moments[95], day.moments[89]), (moment(6, 9), moment(1, 5)));
        assert!(records.chart("other", Moment::MINUTE_SECONDS, now).unwrap().is_empty());
    }

    #[test]
    fn what_is_too_old_for_a_chart_is_deleted() {
        let mut records = Records::in_memory(Bounds::default()).unwrap();
        let records = records.begin().unwrap();
        let limits = [("db".to_owned(), Moment { granted: 1, ..Moment::default() })];
        for minute in 0..3_000 {
            records.add_moments(&limits, minute * MINUTE).unwrap();
        }
        let count = records.first("SELECT count(*) FROM moments", [], |row| Ok(row.get(0)?));
        assert_eq!(count.unwrap(), Some(60 + 96));
    }
}
