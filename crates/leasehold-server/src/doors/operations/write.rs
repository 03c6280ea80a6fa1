//! Writes families of metrics.

use std::fmt;

use leasehold_node::Histogram;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, NoLabelSet};
use prometheus_client::metrics::MetricType;

use crate::figures::{SPAN_MICROS, Spans};

/// Writes families of metrics.
pub(super) struct Writer<'encoder>(pub(super) DescriptorEncoder<'encoder>);

/// A histogram as it is written: what is between each two bounds.
pub(super) struct Buckets {
    sum: f64,
    counts: Vec<(f64, u64)>,
}

impl From<&Spans> for Buckets {
    fn from(spans: &Spans) -> Self {
        let bounds = SPAN_MICROS.iter().map(|micros| *micros as f64 / 1e6).chain([f64::MAX]);
        Self { sum: spans.sum_micros as f64 / 1e6, counts: bounds.zip(spans.counts).collect() }
    }
}

impl From<(&Histogram, f64)> for Buckets {
    /// The histogram in another unit.
    fn from((histogram, unit): (&Histogram, f64)) -> Self {
        let counts = histogram.counts();
        let scaled = |bound: u64| bound as f64 * unit;
        let counts = counts.map(|(bound, count)| (bound.map_or(f64::MAX, scaled), count));
        Self { sum: histogram.sum() as f64 * unit, counts: counts.collect() }
    }
}

impl Writer<'_> {
    /// A family of gauges.
    pub(super) fn gauges<'label, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = ([(&'label str, &'label str); N], f64)>,
    ) -> fmt::Result
    where
        [(&'label str, &'label str); N]: EncodeLabelSet,
    {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in values {
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    /// A family of counters. Their names get the suffix `_total`.
    pub(super) fn counters<'label, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = ([(&'label str, &'label str); N], u64)>,
    ) -> fmt::Result
    where
        [(&'label str, &'label str); N]: EncodeLabelSet,
    {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in values {
            let mut metric = family.encode_family(&labels)?;
            metric.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
        }
        Ok(())
    }

    /// A counter with a fraction.
    pub(super) fn seconds(&mut self, name: &str, help: &str, seconds: f64) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        family.encode_counter::<NoLabelSet, _, u64>(&seconds, None)
    }

    /// A family of histograms. Those without values are left out.
    pub(super) fn histograms<'label, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = ([(&'label str, &'label str); N], Buckets)>,
    ) -> fmt::Result
    where
        [(&'label str, &'label str); N]: EncodeLabelSet,
    {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (labels, Buckets { sum, counts }) in values {
            let count = counts.iter().map(|(_, count)| count).sum();
            if count == 0 {
                continue;
            }
            let mut metric = family.encode_family(&labels)?;
            metric.encode_histogram::<NoLabelSet>(sum, count, &counts, None)?;
        }
        Ok(())
    }
}
