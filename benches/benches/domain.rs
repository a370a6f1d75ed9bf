//! What the domain costs per command, without any I/O: deciding, and telling commands apart.

mod scene;

use divan::{Bencher, black_box};
use ledger::{Policy, decide};

use scene::{NOW, accounts_and_transfer};

fn main() {
    divan::main();
}

/// Two events, each with its hash.
#[divan::bench]
fn decide_transfer(bencher: Bencher) {
    let (accounts, transfer) = accounts_and_transfer();
    bencher.bench(|| {
        decide(
            black_box(&accounts),
            black_box(&transfer),
            NOW,
            &Policy::default(),
        )
    });
}

#[divan::bench]
fn fingerprint(bencher: Bencher) {
    let (_, transfer) = accounts_and_transfer();
    bencher.bench(|| black_box(&transfer).fingerprint());
}
