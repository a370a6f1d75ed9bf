//! Benchmarks. What is measured lies in `benches/benches/`; run it with `cargo bench -p benches`.
