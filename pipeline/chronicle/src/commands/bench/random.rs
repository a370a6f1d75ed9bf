//! Numbers that look random and are the same for the same seed: SplitMix64.

/// A short sequence of such numbers.
pub(super) struct Random {
    state: u64,
}

impl Random {
    /// The sequence of the `number`th thing of a kind.
    pub(super) fn of(seed: u64, kind: u64, number: u64) -> Self {
        Self {
            state: mix(seed ^ mix(kind ^ mix(number))),
        }
    }

    pub(super) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }

    /// Less than `bound`, which is not 0. (That the lowest ones are a little likelier does not show for small bounds.)
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(super) fn bytes(&mut self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.next().to_le_bytes());
        bytes[8..].copy_from_slice(&self.next().to_le_bytes());
        bytes
    }
}

fn mix(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
