//! Valid bodies of every kind, and what chance makes of them.

use ledger::Scope;
use ledger::codec::{binary, json};

use crate::support::random::Random;
use crate::support::{
    Given, batch, capture, close, credit, debit, deposit, describe, expire_hold, freeze, given,
    hold, open, post, release, rename, reverse, rules, set_overdraft_limit, sweep, transfer,
    unfreeze, withdraw,
};

/// Valid bodies of every kind, and the accounts that their events would follow upon.
pub(crate) struct Samples {
    pub(crate) bodies: Vec<Vec<u8>>,
    pub(crate) before: Given,
    pub(crate) commands: u64,
    pub(crate) events: u64,
}

impl Samples {
    pub(crate) fn new() -> Self {
        let plain = || {
            given([
                open("A", "100").with_overdraft_limit("50"),
                open("B", "0.50").because("π").noting("k", "v"),
                hold("B", 1, "0.30").until("2026-01-31T09:00:00Z"),
                hold("B", 2, "0.20").because("hotel"),
                transfer("A", "B", "7.00"),
                withdraw("A", "3"),
            ])
        };
        let requests = [
            open("C", "1")
                .in_currency("JPY")
                .with_overdraft_limit("7")
                .because("new"),
            deposit("A", "0.01")
                .because("wages 😀")
                .noting("invoice", "77")
                .noting("a", ""),
            withdraw("A", "140")
                .in_currency("USD")
                .expecting_version(3)
                .by("teller-3"),
            transfer("A", "B", "25.00")
                .because("\"rent\"\n")
                .expecting_version(3),
            freeze("A", Scope::Debits).reasoning("court order"),
            unfreeze("B", Scope::Credits),
            sweep("A", "B").if_balance_at_least("90.00"),
            close("A").not_before("2026-01-01T00:00:00Z"),
            set_overdraft_limit("A", "75.5").expiring_at("2026-12-31T23:59:59.999999Z"),
            rules("A")
                .minimum("-20")
                .maximum("1000.5")
                .daily_amount("75")
                .daily_count(3)
                .only_with(["B", "C"]),
            rules("B").only_with([]),
            rename("A", "Grace"),
            describe("A", [("colour", "red"), ("k", "")]).noting("k", "v"),
            hold("A", 1, "12.34")
                .in_currency("USD")
                .until("2026-02-01T00:00:00Z"),
            capture("B", 2).only("0.10").to("A").at_last(),
            release("B", 2).only("0.05"),
            expire_hold("B", 1),
            reverse("A", 5)
                .only("6.99")
                .reasoning("twice paid 😀")
                .because("a mistake"),
            reverse("A", 6).if_balance_at_least("90"),
            post([debit("A", "7.50"), credit("B", "7.5")])
                .because("wages")
                .expecting_version(3),
            batch([
                deposit("A", "1").because("one").noting("k", "v"),
                post([debit("A", "2"), credit("B", "2")]),
                reverse("A", 5).only("1").if_balance_at_least("0"),
                hold("A", 9, "1").until("2026-02-01T00:00:00Z"),
            ])
            .by("teller-3")
            .expiring_at("2026-12-31T23:59:59.999999Z"),
        ];
        let mut bodies = Vec::new();
        let (mut commands, mut events) = (0, 0);
        for request in requests {
            bodies.push(json::encode_command(&request.command));
            bodies.push(binary::encode_command(&request.command));
            commands += 1;
            // Some would be refused; of those there are no events.
            let Ok(decided) = plain().when(request).result else {
                continue;
            };
            for event in &decided {
                bodies.push(json::encode_event(event));
                bodies.push(binary::encode_event(event));
                events += 2;
            }
        }
        Self {
            bodies,
            before: plain(),
            commands,
            events,
        }
    }

    /// The input that `seed` stands for.
    pub(crate) fn input(&self, seed: u64) -> Vec<u8> {
        let mut random = Random::seeded(seed);
        if random.chance(15) {
            return random_bytes(&mut random);
        }
        let mut body = random.pick(&self.bodies).clone();
        let mutations = [1, 1, 1, 2, 3][random.below(5)];
        for _ in 0..mutations {
            let other = random.pick(&self.bodies);
            mutate(&mut random, &mut body, other);
        }
        body
    }
}

fn random_bytes(random: &mut Random) -> Vec<u8> {
    let length = random.below(300);
    let mut bytes = random.bytes(length);
    // Past the first check, where there is one.
    match random.below(4) {
        0 => bytes.insert(0, binary::FORMAT_VERSIONS[random.below(2)]),
        1 => bytes.insert(0, b'{'),
        2 => bytes.iter_mut().for_each(|byte| *byte = b' ' + *byte % 95),
        _ => {}
    }
    bytes
}

/// What has a meaning somewhere: in JSON, in numbers, in lengths and flags of bincode.
const TOKENS: [&[u8]; 34] = [
    b"null",
    b"true",
    b"0",
    b"-1",
    b"-0",
    b"1e2",
    b"1e400",
    b"1e-30",
    b"9007199254740993",
    b"18446744073709551615",
    b"99999999999999999999999999.99",
    b"0.30000000000000004",
    b"\"\"",
    b"\"x\"",
    b"\"\\u0000\"",
    b"\"\\ud800\"",
    b"\\u0000",
    b"\\ud83d\\ude00",
    b"{}",
    b"[]",
    b"{\"a\":{}}",
    b",",
    b"\"amount\":\"1\",",
    b"USD",
    b"EUR",
    b"XAU",
    b"9999-12-31T23:59:59-23:59",
    b"0000-01-01T00:00:00Z",
    b"\xef\xbb\xbf",
    b"\xff\xff\xff\xff",
    b"\xfb\xff\xff",
    b"\xfd\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\0\0\0\0\0\0\0\x80",
    b"\0",
];

fn mutate(random: &mut Random, body: &mut Vec<u8>, other: &[u8]) {
    let at = random.below(body.len() + 1);
    let end = (at + random.below(12)).min(body.len());
    match random.below(10) {
        0 => drop(body.drain(at..end)),
        1 => drop(body.splice(at..end, random.bytes(end - at))),
        2 => {
            let copy = body[at..end].to_vec();
            let target = random.below(body.len() + 1);
            drop(body.splice(target..target, copy));
        }
        3 => {
            let from = random.below(other.len());
            let length = random.below(40);
            let part = other[from..].iter().take(length).copied();
            drop(body.splice(at..end, part));
        }
        4 => body.truncate(at),
        5 => {
            let token = *random.pick(&TOKENS);
            drop(body.splice(at..end, token.iter().copied()));
        }
        6..=8 => replace_value(random, body, at),
        _ => {
            if let Some(byte) = body.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
    }
}

/// Puts a token in the place of the JSON string or number after `at`, so that the body stays JSON and the mistake is
/// met further inside; of bytes that are no JSON, in the place of a few.
fn replace_value(random: &mut Random, body: &mut Vec<u8>, at: usize) {
    let token = *random.pick(&TOKENS);
    let ends = |byte: &u8| matches!(byte, b',' | b'}' | b'{');
    let Some(begin) = body[at..].iter().position(|byte| *byte == b':') else {
        let end = (at + token.len()).min(body.len());
        drop(body.splice(at..end, token.iter().copied()));
        return;
    };
    let begin = at + begin + 1;
    let length = body[begin..].iter().position(ends);
    let end = length.map_or(body.len(), |length| begin + length);
    // Half of the time inside the quotes, if there are any.
    let quoted = end >= begin + 2 && body[begin] == b'"' && body[end - 1] == b'"';
    if quoted && random.chance(50) {
        drop(body.splice(begin + 1..end - 1, token.iter().copied()));
    } else {
        drop(body.splice(begin..end, token.iter().copied()));
    }
}
