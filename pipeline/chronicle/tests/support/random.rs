//! Randomness that a seed reproduces (SplitMix64).

/// A source of random numbers.
pub struct Random {
    state: u64,
}

impl Random {
    /// The same seed gives the same numbers.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The seed that `CHRONICLE_TEST_SEED` names, or another one each time; it is printed, to run the test with it again.
    pub fn seeded(test: &str) -> Self {
        let named = std::env::var("CHRONICLE_TEST_SEED")
            .ok()
            .and_then(|seed| seed.parse().ok());
        let seed = named.unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0);
        println!("{test}: CHRONICLE_TEST_SEED={seed}");
        Self::new(seed)
    }

    /// Any number.
    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// An index of a list of that length.
    pub fn index(&mut self, length: usize) -> usize {
        let limit = u64::try_from(length).expect("a list is not that long");
        usize::try_from(self.below(limit)).expect("it is below the length")
    }

    /// A UUID.
    pub fn uuid(&mut self) -> uuid::Uuid {
        let (high, low) = (self.next(), self.next());
        uuid::Builder::from_random_bytes(((u128::from(high) << 64) | u128::from(low)).to_be_bytes())
            .into_uuid()
    }
}
