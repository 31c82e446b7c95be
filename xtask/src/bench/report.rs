//! What a bench leaves behind: raw samples, medians, ratios taken round by round, a table on the terminal.

use anyhow::{Context, Result};
use serde::Serialize;
use std::fs;
use std::path::PathBuf;

/// One thing measured over and over: `samples[i]` was read in round `i`.
#[derive(Clone, Serialize)]
pub struct Series {
    pub name: String,
    pub unit: &'static str,
    pub samples: Vec<f64>,
}

/// One series against another of the same rounds; `floor` is what the project promises.
#[derive(Clone, Serialize)]
pub struct Ratio {
    pub name: String,
    pub samples: Vec<f64>,
    pub median: f64,
    /// Smallest and largest round.
    pub spread: [f64; 2],
    pub floor: Option<f64>,
}

/// A bench's result, as written to `target/bench/<name>.json`.
#[derive(Default, Serialize)]
pub struct Report {
    pub name: String,
    pub machine: String,
    pub series: Vec<Series>,
    pub ratios: Vec<Ratio>,
}

impl Report {
    pub fn new(name: &str) -> Self {
        Self { name: name.into(), machine: machine(), ..Self::default() }
    }

    /// Adds a sample to the series of this name, beginning it when it is new.
    pub fn sample(&mut self, name: &str, unit: &'static str, value: f64) {
        match self.series.iter_mut().find(|s| s.name == name) {
            Some(series) => series.samples.push(value),
            None => self.series.push(Series { name: name.into(), unit, samples: vec![value] }),
        }
    }

    /// `over / under`, round by round; the median of ratios is the claim.
    pub fn ratio(&mut self, name: &str, over: &str, under: &str, floor: Option<f64>) {
        let find = |wanted: &str| self.series.iter().find(|s| s.name == wanted).map(|s| s.samples.clone());
        let (Some(over), Some(under)) = (find(over), find(under)) else { return };
        let samples: Vec<f64> = over.iter().zip(&under).map(|(o, u)| o / u).collect();
        let (low, high) = samples.iter().fold((f64::MAX, f64::MIN), |(l, h), s| (l.min(*s), h.max(*s)));
        self.ratios.push(Ratio { name: name.into(), median: median(&samples), samples, spread: [low, high], floor });
    }

    pub fn print(&self) {
        println!("\n{:<44} {:>12}  {:<8} {:>6}", "measured (median)", "", "unit", "rounds");
        for s in &self.series {
            println!("{:<44} {:>12.2}  {:<8} {:>6}", s.name, median(&s.samples), s.unit, s.samples.len());
        }
        println!("\n{:<44} {:>12}  {:<15} promised", "ratio (median of rounds)", "", "spread");
        for r in &self.ratios {
            let verdict = match r.floor {
                Some(floor) if r.median >= floor => format!(">= {floor}  met"),
                Some(floor) => format!(">= {floor}  NOT MET"),
                None => "-".into(),
            };
            let spread = format!("{:.2} to {:.2}", r.spread[0], r.spread[1]);
            println!("{:<44} {:>12.3}  {spread:<15} {verdict}", r.name, r.median);
        }
    }

    /// Writes `target/bench/<name>.json` and says so.
    pub fn save(&self) -> Result<()> {
        let dir = PathBuf::from("target/bench");
        fs::create_dir_all(&dir).context("creating target/bench")?;
        let path = dir.join(format!("{}.json", self.name));
        fs::write(&path, serde_json::to_vec_pretty(self)?).with_context(|| format!("writing {}", path.display()))?;
        println!("\nraw samples: {}", path.display());
        Ok(())
    }
}

/// The middle of the sorted samples (mean of the two middle ones); NaN when there are none.
pub fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

fn machine() -> String {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpu.lines().find_map(|l| l.strip_prefix("model name")).unwrap_or("").trim_start_matches([' ', '\t', ':']);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("Linux {}, {cores} x {model}", kernel.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_of_samples_is_between_the_two_middle_ones() {
        assert!((median(&[4.0, 1.0, 3.0, 2.0]) - 2.5).abs() < f64::EPSILON);
        assert!((median(&[9.0, 1.0, 3.0]) - 3.0).abs() < f64::EPSILON);
    }

    #[test]
    fn a_ratio_is_taken_round_by_round() {
        let mut report = Report::new("t");
        for (ours, peer) in [(10.0, 10.0), (30.0, 10.0), (20.0, 10.0)] {
            report.sample("ours", "x", ours);
            report.sample("peer", "x", peer);
        }
        report.ratio("r", "ours", "peer", Some(1.5));
        assert!((report.ratios[0].median - 2.0).abs() < f64::EPSILON);
        assert_eq!(report.ratios[0].spread, [1.0, 3.0]);
    }
}
