//! Judging what a shared consumer brings: is there anything before it that this reader has not handed out?

/// What a message that has arrived means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// Nothing lies between it and what was handed out before.
    Next,
    /// Something may lie between: to be read from the stream first.
    Jump,
    /// Handed out before.
    Old,
}

/// The consumer's own sequence, as far as it says something about order.
///
/// A consumer counts every delivery, to whichever client. First deliveries come in the stream's order; redeliveries come
/// at any time and are counted too. So a first delivery is the next message only if every delivery since the last first
/// one came to us, and all of those were old ones.
#[derive(Debug, Default)]
pub(super) struct Order {
    chain: Option<u64>,
}

impl Order {
    /// Judges a message at `position`, with `last_position` handed out before.
    pub(super) fn judge(
        &mut self,
        consumer_sequence: u64,
        redelivered: bool,
        position: u64,
        last_position: u64,
    ) -> Arrival {
        let follows = self.chain.is_some_and(|last| last + 1 == consumer_sequence);
        if position <= last_position {
            // Says nothing about what lies ahead: a jump seen here stays a jump.
            self.chain = follows.then_some(consumer_sequence);
            return Arrival::Old;
        }
        self.chain = (!redelivered).then_some(consumer_sequence);
        if position == last_position + 1 || (follows && !redelivered) {
            Arrival::Next
        } else {
            Arrival::Jump
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small generator (xorshift64): a seed reproduces a failure.
    struct Random(u64);

    impl Random {
        fn below(&mut self, bound: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            usize::try_from(self.0 % bound as u64).unwrap()
        }
    }

    /// A consumer of every second message of a stream, with two clients and redeliveries at any time. We are one of the
    /// clients; whatever is called the next message must be the next one.
    #[test]
    fn what_is_called_next_is_next_under_any_interleaving() {
        for seed in 1..=20_000 {
            let mut random = Random(seed);
            let (mut consumer_sequence, mut delivered) = (0, 0);
            let mut last_position = 0;
            let mut order = Order::default();
            for _ in 0..60 {
                consumer_sequence += 1;
                let redelivered = delivered > 0 && random.below(3) == 0;
                let position = if redelivered {
                    2 * (1 + random.below(delivered) as u64)
                } else {
                    delivered += 1;
                    2 * delivered as u64
                };
                if random.below(4) == 0 {
                    continue; // it went to the other client
                }
                match order.judge(consumer_sequence, redelivered, position, last_position) {
                    Arrival::Next => {
                        assert_eq!(
                            position,
                            last_position + 2,
                            "seed {seed}: something was left out"
                        );
                        last_position = position;
                    }
                    Arrival::Jump => last_position = position, // the reader makes up for what lies between
                    Arrival::Old => assert!(position <= last_position, "seed {seed}"),
                }
            }
        }
    }

    #[test]
    fn an_undisturbed_client_never_has_to_look_back() {
        let mut order = Order::default();
        assert_eq!(order.judge(7, false, 20, 10), Arrival::Jump);
        for step in 1..100 {
            let last = 20 + 2 * (step - 1);
            assert_eq!(order.judge(7 + step, false, last + 2, last), Arrival::Next);
        }
    }

    #[test]
    fn a_redelivery_does_not_hide_what_came_between() {
        // 1..5 are redelivered to us, then the new message 101 comes: 6..100 were somebody else's.
        let mut order = Order::default();
        for (consumer_sequence, position) in (101..=105).zip(1..=5) {
            order.judge(consumer_sequence, true, position, position - 1);
        }
        assert_eq!(order.judge(106, false, 101, 5), Arrival::Jump);
    }
}
