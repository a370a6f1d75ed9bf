//! Ids that are spread as random ones are, and cost nothing.

use uuid::Uuid;

/// The id of command `number`.
pub(super) fn command_id(number: u64) -> Uuid {
    Uuid::from_u64_pair(spread(number), spread(number ^ u64::MAX))
}

/// The id of the event at `index` of command `number`.
pub(super) fn event_id(number: u64, index: u64) -> Uuid {
    Uuid::from_u64_pair(spread(number) ^ (index + 1), spread(!number) ^ (index + 1))
}

/// 32 bytes that no compression makes smaller, in the place of a hash.
pub(super) fn hash(number: u64, index: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (part, chunk) in (0..).zip(bytes.chunks_exact_mut(8)) {
        let word = spread(number.wrapping_mul(8) + index * 4 + part);
        chunk.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

/// The last step of SplitMix64: each bit of the result depends on each bit of the number.
fn spread(number: u64) -> u64 {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_ids_are_the_same() {
        let mut ids = HashSet::new();
        for number in 0..10_000 {
            assert!(ids.insert(command_id(number)));
            assert!(ids.insert(event_id(number, 0)) && ids.insert(event_id(number, 1)));
        }
        assert_ne!(hash(1, 0), hash(1, 1));
    }
}
