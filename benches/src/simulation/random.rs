//! Numbers that look random and are the same for the same seed: SplitMix64.

/// A sequence of such numbers.
pub(super) struct Random(u64);

impl Random {
    /// The sequence of one writer.
    pub(super) fn of(seed: u64, writer: u64) -> Self {
        Self(mix(seed ^ mix(writer + 1)))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Less than `bound`, which is not 0. (That the lowest ones are a little likelier does not show for small bounds.)
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// `middle`, less or more by at most a `part`th of it.
    pub(super) fn around(&mut self, middle: u64, part: u64) -> u64 {
        let width = middle / part;
        middle - width + self.below(2 * width + 1)
    }
}

fn mix(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
