//! Stacks of containers from images (SCENARIOS.md E2, E6, E7), beside `docker run` of as many on the same engines.

use super::report::{Report, median};
use crate::{cargo, setup};
use anyhow::{Context, Result, bail, ensure};
use remuda_lab::{Engine, Lab, Options, engine, wait_for};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// Name of the bench's own lab, beside a default one that may run.
const LAB: &str = "bench-docker";
const HOSTS: usize = 3;
const ROUNDS: usize = 3;
const FEW: usize = 6;
const MANY: usize = 30;
/// After this it is stuck, whatever was promised.
const LIMIT: Duration = Duration::from_secs(120);
const PEERS_IMAGE: &str = "some/web";
const WEB: &str = "services:\n  web:\n    image: some/web\n    ports: ['8081:80']\n    deploy: {replicas: 6}\n";

/// Series and what is promised of them, at most, in seconds.
const PROMISES: [(&str, f64); 5] = [(E2_UP, 1.0), (E2_HEALTHY, 10.0), (E2_ANSWERS, 10.0), (E6, 3.0), (E7, 12.0)];
const E2_UP: &str = "E2 up -d of HMS returns";
const E2_HEALTHY: &str = "E2 web and lb healthy";
const E2_ANSWERS: &str = "E2 HTTP 200 on port 8080 of every host";
const E6: &str = "E6 6 running";
const E7: &str = "E7 from 6 to 30 running";
const PEER_E6: &str = "docker run -d of 6, no network";
const PEER_E7: &str = "docker run -d of 24 more, no network";

pub fn run() -> Result<()> {
    setup::engine()?;
    engine::check().map_err(anyhow::Error::msg)?;
    cargo::build_whoami()?;
    // What an interrupted one left.
    Lab::down(LAB)?;
    let lab = Lab::up(&Options::new(LAB, HOSTS).with_docker())?;
    lab.load_image("rawmind/hms", 8080)?;
    lab.load_image(PEERS_IMAGE, 80)?;
    let mut report = Report::new("docker");
    for round in 0..ROUNDS {
        println!("round {} of {ROUNDS}", round + 1);
        hms(&lab, &mut report)?;
        grow(&lab, &mut report)?;
        peers(&lab, &mut report)?;
    }
    report.ratio("6 running, of docker run's time", E6, PEER_E6, None);
    report.ratio("24 more, of docker run's time", E7, PEER_E7, None);
    print(&report);
    report.save()
}

/// E2: the two files as they are, from the command to a page at every host.
fn hms(lab: &Lab, report: &mut Report) -> Result<()> {
    let begin = Instant::now();
    remuda(lab, &cargo::at("tests/corpus/hms"), &["up", "-d", "-s", "HMS"])?;
    report.sample(E2_UP, "s", begin.elapsed().as_secs_f64());
    wait_for("web and lb are healthy", LIMIT, || {
        let services = list(lab, "services")?;
        let is_well = |name: &str| services.iter().any(|s| s["name"] == name && s["healthy"] == 1);
        Ok((is_well("web") && is_well("lb")).then_some(()))
    })?;
    report.sample(E2_HEALTHY, "s", begin.elapsed().as_secs_f64());
    for host in &lab.state.hosts {
        let url = format!("http://{}:8080/", host.underlay_ip);
        let curl = ["curl", "--silent", "--fail", "--max-time", "5", &url];
        wait_for(&format!("{url} answers"), LIMIT, || lab.output("client", &curl).map(Some))?;
    }
    report.sample(E2_ANSWERS, "s", begin.elapsed().as_secs_f64());
    remuda(lab, cargo::root(), &["down", "HMS"]).map(drop)
}

/// E6 and E7: `up` and `scale` return when as many run.
fn grow(lab: &Lab, report: &mut Report) -> Result<()> {
    let file = lab.dir().join("web.yml");
    fs::write(&file, WEB).with_context(|| format!("writing {}", file.display()))?;
    let begin = Instant::now();
    remuda(lab, cargo::root(), &["up", "-f", &file.display().to_string(), "-s", "app"])?;
    report.sample(E6, "s", begin.elapsed().as_secs_f64());
    ensure!(running(lab)? == FEW, "`up` returned before {FEW} ran");
    let begin = Instant::now();
    remuda(lab, cargo::root(), &["scale", &format!("app/web={MANY}")])?;
    report.sample(E7, "s", begin.elapsed().as_secs_f64());
    ensure!(running(lab)? == MANY, "`scale` returned before {MANY} ran");
    remuda(lab, cargo::root(), &["down", "app"]).map(drop)
}

/// The same numbers by `docker run -d`, spread over the same engines, all engines at once.
fn peers(lab: &Lab, report: &mut Report) -> Result<()> {
    let engines: Vec<Engine> = lab.host_names().iter().map(|host| lab.engine(host)).collect::<Result<_>>()?;
    report.sample(PEER_E6, "s", docker_run(&engines, FEW)?.as_secs_f64());
    report.sample(PEER_E7, "s", docker_run(&engines, MANY - FEW)?.as_secs_f64());
    engines.iter().try_for_each(remove_peers)
}

fn docker_run(engines: &[Engine], count: usize) -> Result<Duration> {
    let begin = Instant::now();
    let run = |engine: &Engine| {
        let args = ["run", "--detach", "--network=none", "--label=bench.peer=1", PEERS_IMAGE];
        (0..count / engines.len()).try_for_each(|_| engine.docker(&args).map(drop))
    };
    let done: Result<()> = std::thread::scope(|scope| {
        let threads: Vec<_> = engines.iter().map(|engine| scope.spawn(move || run(engine))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|e| std::panic::resume_unwind(e)))
    });
    done.map(|()| begin.elapsed())
}

fn remove_peers(engine: &Engine) -> Result<()> {
    let ids = engine.docker(&["ps", "--quiet", "--filter", "label=bench.peer=1"])?;
    let ids: Vec<&str> = ids.split_whitespace().collect();
    engine.docker(&[&["rm", "--force"], ids.as_slice()].concat()).map(drop)
}

fn running(lab: &Lab) -> Result<usize> {
    Ok(list(lab, "ps")?.iter().filter(|container| container["state"] == "running").count())
}

fn list(lab: &Lab, what: &str) -> Result<Vec<Value>> {
    let text = remuda(lab, cargo::root(), &[what, "-o", "json"])?;
    serde_json::from_str(&text).with_context(|| format!("remuda {what} -o json is no array"))
}

/// `remuda ARGS` in a folder, which must succeed.
fn remuda(lab: &Lab, folder: &Path, args: &[&str]) -> Result<String> {
    let out = lab.command(args)?.current_dir(folder).output()?;
    if !out.status.success() {
        bail!("remuda {}: {}", args.join(" "), String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

fn print(report: &Report) {
    println!("\n{:<44} {:>8} {:>8} {:>9}", "seconds", "median", "worst", "promised");
    for series in &report.series {
        let worst = series.samples.iter().copied().fold(f64::MIN, f64::max);
        let promised = PROMISES.iter().find(|(name, _)| *name == series.name).map(|(_, most)| *most);
        let verdict = promised.map_or(String::new(), |most| {
            format!("{most:>9}{}", if median(&series.samples) <= most { "" } else { "  NOT MET" })
        });
        println!("{:<44} {:>8.2} {worst:>8.2} {verdict}", series.name, median(&series.samples));
    }
    for ratio in &report.ratios {
        println!("{:<44} {:>8.2} {:>8.2}", ratio.name, ratio.median, ratio.spread[1]);
    }
}
