//! Writing metrics: a family's head, and its samples below.

use std::fmt;

use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, NoLabelSet,
};

use super::families::Family;

/// Labels and their values.
pub(super) type Labels<'a, const N: usize> = [(&'static str, &'a str); N];

/// One sample of a histogram.
pub(super) struct Distribution {
    /// Upper bounds, rising, and how many values lie up to each of them and above the one before.
    pub(super) buckets: Vec<(f64, u64)>,
    /// All values together.
    pub(super) sum: f64,
}

/// What is being written.
pub(super) struct Page<'a> {
    encoder: DescriptorEncoder<'a>,
}

impl<'a> Page<'a> {
    pub(super) fn new(encoder: DescriptorEncoder<'a>) -> Self {
        Self { encoder }
    }

    pub(super) fn counters<'l, const N: usize, V: EncodeCounterValue>(
        &mut self,
        family: &Family,
        samples: impl IntoIterator<Item = (Labels<'l, N>, V)>,
    ) -> fmt::Result {
        // The crate puts it behind the name itself.
        let name = family.name.strip_suffix("_total").unwrap_or(family.name);
        let mut metric = self
            .encoder
            .encode_descriptor(name, family.help, None, family.kind)?;
        for (labels, value) in samples {
            metric
                .encode_family(&labels)?
                .encode_counter::<NoLabelSet, _, f64>(&value, None)?;
        }
        Ok(())
    }

    pub(super) fn gauges<'l, const N: usize, V: EncodeGaugeValue>(
        &mut self,
        family: &Family,
        samples: impl IntoIterator<Item = (Labels<'l, N>, V)>,
    ) -> fmt::Result {
        let mut metric =
            self.encoder
                .encode_descriptor(family.name, family.help, None, family.kind)?;
        for (labels, value) in samples {
            metric.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    pub(super) fn histograms<'l, const N: usize>(
        &mut self,
        family: &Family,
        samples: impl IntoIterator<Item = (Labels<'l, N>, Distribution)>,
    ) -> fmt::Result {
        let mut metric =
            self.encoder
                .encode_descriptor(family.name, family.help, None, family.kind)?;
        for (labels, Distribution { buckets, sum }) in samples {
            let count = buckets.iter().map(|(_, count)| count).sum();
            metric
                .encode_family(&labels)?
                .encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
        }
        Ok(())
    }
}
