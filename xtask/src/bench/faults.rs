//! The promises about faults, measured: the cases of `cargo xtask test faults`, longer and several times, beside what
//! others need (SCENARIOS.md).

use super::report::{Report, median};
use crate::cargo;
use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader};
use std::process::Stdio;

/// Begins a line with a figure (`tests/src/figure.rs`): name, value, unit, apart by tabs.
const MARK: &str = "remuda-figure:";
/// What makes the cases last as long as SCENARIOS.md says, and measure more than once.
const LONGER: [(&str, &str); 5] = [
    ("REMUDA_FAULTS_ROUNDS", "3"),
    ("REMUDA_FAULTS_SERVER_AWAY_S", "120"),
    ("REMUDA_FAULTS_AGENT_AWAY_S", "60"),
    ("REMUDA_FAULTS_IDLE_S", "30"),
    ("REMUDA_FAULTS_TURNOVERS", "50"),
];

/// A figure that is promised: at most so much. `peers` are SCENARIOS.md's.
struct Promise {
    figure: &'static str,
    most: f64,
    peers: &'static str,
}

const fn promise(figure: &'static str, most: f64, peers: &'static str) -> Promise {
    Promise { figure, most, peers }
}

const PROMISES: [Promise; 22] = [
    promise("E8 host cut off until it is listed as dead", 5.0, "Swarm 11 to 15, Nomad 20 to 30, Kubernetes 40"),
    promise("E8 host cut off until 30 of 30 run on the others", 10.0, "Swarm 13.5 to 22.7, Kubernetes 340"),
    promise("E8 host cut off until new connections by VIP avoid it", 3.0, "Cattle 6"),
    promise("E15 host cut off until its addresses are out of every survivor's DNS", 3.0, "Swarm 5.9"),
    promise("E9 link restored until no more than 30 run", 5.0, "-"),
    promise("E9 link restored until the host is ready", 2.0, "-"),
    promise("E10 failed look-ups and connections, server away", 0.0, "-"),
    promise("E10 crashed container restarted by its agent", 5.0, "-"),
    promise("E11 server started until all hosts are ready", 5.0, "-"),
    promise("E12 broken or failed connections, agent away", 0.0, "-"),
    promise("E12 agent started until names are answered on its host", 1.0, "-"),
    promise("E14 killed container out of DNS on its own host", 0.1, "-"),
    promise("E14 killed container out of DNS on another host", 1.0, "Swarm 0.12"),
    promise("E16 answers 500 (2 s interval, fall 3) until it is out of every host's DNS", 9.0, "-"),
    promise("host drain at 200 requests/s: failed requests", 0.0, "-"),
    promise("scale-down at 200 requests/s: failed requests", 0.0, "-"),
    promise("E31 host drain of 10 containers until it is empty", 15.0, "-"),
    promise("false deaths under 30 % loss for 10 s and pauses of 1.5 s", 0.0, "-"),
    promise("agent RSS with 50 containers", 60.0, "dockerd 85 to 104"),
    promise("idle agent with 50 containers, share of a core", 0.5, "-"),
    promise("descriptors, cgroups, mounts, namespaces, links, processes left by 1000", 0.0, "-"),
    promise("agent RSS grown over 1000 starts and stops", 3.0, "-"),
];

pub fn run() -> Result<()> {
    crate::setup::tests()?;
    let mut report = Report::new("faults");
    let failed = measure(&mut report)?;
    print(&report);
    report.save()?;
    if !failed.is_empty() {
        bail!("cases failed, so their figures are missing or mean nothing:\n  {}", failed.join("\n  "));
    }
    Ok(())
}

/// Runs every case, one after the other; which failed.
fn measure(report: &mut Report) -> Result<Vec<String>> {
    let args = ["test", "--release", "--workspace", "--test", "faults", "--", "--test-threads=1"];
    let mut command = cargo::cargo(&args);
    command.envs(LONGER).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("cannot start cargo")?;
    let stderr = child.stderr.take().context("cargo has an output")?;
    let figures = std::thread::spawn(move || {
        let lines = BufReader::new(stderr).lines().map_while(Result::ok);
        lines.inspect(|line| println!("{line}")).filter_map(|line| figure(&line)).collect::<Vec<_>>()
    });
    let stdout = child.stdout.take().context("cargo has an output")?;
    let mut failed = Vec::new();
    for line in BufReader::new(stdout).lines() {
        let line = line?;
        println!("{line}");
        failed.extend(line.strip_prefix("---- ").map(|rest| rest.trim_end_matches(" stdout ----").to_owned()));
    }
    let status = child.wait()?;
    for (name, value, unit) in figures.join().unwrap_or_default() {
        report.sample(&name, unit, value);
    }
    if !status.success() && failed.is_empty() {
        bail!("the cases did not run ({status}); see above");
    }
    Ok(failed)
}

/// Name, value and unit of a line that holds a figure.
fn figure(line: &str) -> Option<(String, f64, &'static str)> {
    let (name, rest) = line.strip_prefix(MARK)?.trim_start().split_once('\t')?;
    let (value, unit) = rest.split_once('\t').unwrap_or((rest, ""));
    let unit = ["s", "MB", "%"].into_iter().find(|known| *known == unit.trim()).unwrap_or("");
    Some((name.to_owned(), value.trim().parse().ok()?, unit))
}

fn print(report: &Report) {
    println!("\n{:<74} {:>8} {:>8} {:>9}   others", "", "median", "worst", "promised");
    for Promise { figure, most, peers } in &PROMISES {
        let Some(series) = report.series.iter().find(|series| series.name == *figure) else {
            println!("{figure:<74} {:>8} {:>8} {most:>9}   {peers}", "-", "-");
            continue;
        };
        let worst = series.samples.iter().copied().fold(f64::MIN, f64::max);
        let verdict = if worst <= *most { "" } else { "  NOT MET" };
        let middle = median(&series.samples);
        println!("{figure:<74} {middle:>8.2} {worst:>8.2} {most:>9}{verdict}   {peers}");
    }
    for series in &report.series {
        if PROMISES.iter().all(|promise| promise.figure != series.name) {
            println!("{:<74} {:>8.2} {}", series.name, median(&series.samples), series.unit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_from_among_other_lines() {
        assert_eq!(figure("remuda-figure: E9 link\t1.25\ts"), Some(("E9 link".into(), 1.25, "s")));
        assert_eq!(figure("remuda-figure: failed\t0\t"), Some(("failed".into(), 0.0, "")));
        assert_eq!(figure("test cut::e8 ... ok"), None);
    }
}
