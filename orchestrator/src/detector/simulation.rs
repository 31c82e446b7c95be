//! The proof: fleets of 3 to 12 hosts, their reports, gossip and probes over a network that loses, cuts and delays,
//! against the real detector, from thousands of seeds. What must hold is in [`judge`], what goes wrong in [`fault`].
//!
//! A failure prints its seed; `REMUDA_SEED=n cargo test -p remuda-orchestrator simulat -- --nocapture` runs that one
//! again and tells its story. `REMUDA_SEEDS=n` runs so many.

mod event;
mod fault;
mod judge;
mod random;
mod stream;
mod world;

use random::Random;
use world::World;

/// Of gossip, probes and reports.
const REPORT_MS: u64 = 500;
/// How long a run lasts.
const END_MS: u64 = 45_000;
/// Enough for every kind of fault to meet every other, some seconds of test time.
const SEEDS: u64 = 2_000;

#[test]
fn thousands_of_seeds_of_faults_bring_no_false_death_and_miss_no_death() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match number("REMUDA_SEED") {
        Some(seed) => seed..seed + 1,
        None => 1..number("REMUDA_SEEDS").unwrap_or(SEEDS) + 1,
    };
    let is_told = seeds.end - seeds.start == 1;
    let mut deaths_ms = Vec::new();
    for seed in seeds {
        let mut world = World::new(Random(seed), is_told);
        let outcome = world.run(END_MS);
        if let Err(wrong) = outcome {
            panic!("REMUDA_SEED={seed}: {wrong}\n{}", world.story());
        }
        deaths_ms.extend(world.judge.deaths_ms);
    }
    deaths_ms.sort_unstable();
    let (count, last) = (deaths_ms.len(), deaths_ms.last().copied().unwrap_or(0));
    let p99 = deaths_ms.get(count * 99 / 100).copied().unwrap_or(0);
    assert!((1..=5_000).contains(&last), "{last} ms");
    println!("{count} deaths noticed, p99 {p99} ms, longest {last} ms after the last contact");
}

#[test]
fn the_simulation_finds_a_detector_that_is_wrong() {
    // One that takes gossip and probes for nothing kills hosts whose way to the server alone is cut.
    let found = (1..=200).any(|seed| {
        let mut world = World::new(Random(seed), false);
        world.is_deaf = true;
        world.run(END_MS).is_err()
    });
    assert!(found);
}
