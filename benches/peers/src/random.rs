//! Numbers that look random and are the same for the same seed: SplitMix64.
//!
//! These are the lines of the ledger's own bench (`pipeline/chronicle/src/commands/bench/random.rs`), copied, so that
//! the peers move the same accounts by the same amounts without building the ledger. A test holds them to its values.

/// A short sequence of such numbers.
pub(crate) struct Random {
    state: u64,
}

impl Random {
    /// The sequence of the `number`th thing of a kind.
    pub(crate) fn of(seed: u64, kind: u64, number: u64) -> Self {
        Self {
            state: mix(seed ^ mix(kind ^ mix(number))),
        }
    }

    /// Less than `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }
}

fn mix(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
