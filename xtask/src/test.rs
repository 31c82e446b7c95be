//! `cargo xtask test`: groups of tests, run live, added up; the last line is for scripts.

use crate::libtest::{self, Counts};
use crate::{build_ebpf, cargo, setup, tidy};
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use remuda_lab::process;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

/// Run the tests.
///
/// The last line is `N passed, N failed, N skipped`. All groups but unit need root.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  cargo xtask test              everything this tree can test\n  cargo xtask test unit         no root needed\n  cargo xtask test packets net -- mtu   only tests whose name contains mtu"
)]
pub struct Args {
    /// Which groups; none named: everything
    groups: Vec<Group>,
    /// Handed to the tests: a part of their names
    #[arg(last = true)]
    filter: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Group {
    /// Pure code, formatting and tidy; no root
    Unit,
    /// Loaded kernel programs by BPF_PROG_TEST_RUN
    Packets,
    /// Real traffic between namespaces
    Net,
    /// Real containers of a dockerd of the tests' own
    Engine,
    /// Links, processes and disks that break
    Faults,
    /// The whole fleet, from the outside
    Scenarios,
    /// Other kernels
    Vm,
}

const ALL: [Group; 7] =
    [Group::Unit, Group::Packets, Group::Net, Group::Engine, Group::Faults, Group::Scenarios, Group::Vm];

impl Group {
    fn name(self) -> &'static str {
        match self {
            Group::Unit => "unit",
            Group::Packets => "packets",
            Group::Net => "net",
            Group::Engine => "engine",
            Group::Faults => "faults",
            Group::Scenarios => "scenarios",
            Group::Vm => "vm",
        }
    }

    /// Why this tree cannot run the group yet.
    fn later(self) -> Option<&'static str> {
        match self {
            Group::Vm => Some("comes with the issue on other kernels"),
            _ => None,
        }
    }

    /// After this a group is hung, and is ended: all of them fit the 45 minutes of CI.
    fn limit(self) -> Duration {
        Duration::from_secs(match self {
            Group::Unit => 30 * 60, // most of it is compiling
            _ => 15 * 60,
        })
    }
}

struct Outcome {
    group: Group,
    counts: Counts,
    notes: Vec<String>,
    took: Duration,
    /// Tests that said they cannot run here; libtest will still count them as passed.
    said_skipped: usize,
}

pub fn run(args: &Args) -> Result<()> {
    if let Some(group) = args.groups.iter().find(|group| group.later().is_some()) {
        bail!("test group `{}` {}; this tree has none of its tests", group.name(), group.later().unwrap_or_default());
    }
    let groups = if args.groups.is_empty() { ALL.to_vec() } else { args.groups.clone() };
    if groups.iter().any(|group| *group != Group::Unit) {
        setup::tests()?;
    }
    // Every product crate embeds or tests the kernel object, so it comes first.
    let object = build_ebpf::build().map_err(|error| format!("build-ebpf: {error:#}"));
    let mut outcomes = Vec::new();
    for group in groups {
        let started = Instant::now();
        let mut outcome = Outcome::of(group);
        match (&object, group.later()) {
            (_, Some(why)) => outcome.skip(format!("group {} {why}", group.name())),
            (Err(_), None) if !outcomes.is_empty() => {
                outcome.skip(format!("group {}: not run, see above", group.name()))
            }
            (Err(error), None) => outcome.fail(error.clone()),
            (Ok(_), None) => outcome.run(&args.filter)?,
        }
        outcome.took = started.elapsed();
        outcomes.push(outcome);
    }
    conclude(&outcomes);
}

/// Table, reasons, last line, exit code.
fn conclude(outcomes: &[Outcome]) -> ! {
    let mut total = Counts::default();
    println!("\n{:<10} {:>7} {:>7} {:>8} {:>9}", "group", "passed", "failed", "skipped", "time");
    for Outcome { group, counts, took, .. } in outcomes {
        println!(
            "{:<10} {:>7} {:>7} {:>8} {:>7.1} s",
            group.name(),
            counts.passed,
            counts.failed,
            counts.skipped,
            took.as_secs_f32()
        );
        total += *counts;
    }
    for note in outcomes.iter().flat_map(|outcome| &outcome.notes) {
        println!("{note}");
    }
    if total.passed + total.failed == 0 {
        println!("no test ran: that is a failure");
    }
    println!("{} passed, {} failed, {} skipped", total.passed, total.failed, total.skipped);
    let _ = std::io::stdout().flush();
    let is_good = total.failed == 0 && total.passed > 0;
    std::process::exit(if is_good { 0 } else { 1 })
}

impl Outcome {
    fn of(group: Group) -> Self {
        Self { group, counts: Counts::default(), notes: Vec::new(), took: Duration::ZERO, said_skipped: 0 }
    }

    fn run(&mut self, filter: &[String]) -> Result<()> {
        println!("== {}", self.group.name());
        match self.group {
            Group::Unit => self.unit(filter),
            _ => self.with_root(filter),
        }
    }

    fn unit(&mut self, filter: &[String]) -> Result<()> {
        if filter.is_empty() {
            self.check_format();
            self.check_tidy();
        }
        let targets: Vec<String> = test_targets(|package| package != ROOT_TESTS)?;
        let mut selected = vec!["--lib", "--bins"];
        selected.extend(targets.iter().flat_map(|target| ["--test", target.as_str()]));
        self.cargo_test(&selected, filter)?;
        self.cargo_test(&["--doc"], filter)
    }

    fn with_root(&mut self, filter: &[String]) -> Result<()> {
        let name = self.group.name();
        if !test_targets(|package| package == ROOT_TESTS)?.iter().any(|target| target == name) {
            self.skip(format!("group {name}: tests/ has no target of this name yet"));
            return Ok(());
        }
        if self.group == Group::Engine
            && let Err(reason) = remuda_lab::engine::check()
        {
            self.skip(format!("group {name}: {reason}"));
            return Ok(());
        }
        // Packet tests load the programs themselves; engine tests run the agent's part in themselves.
        let built = match self.group {
            Group::Packets | Group::Engine => Ok(()),
            Group::Scenarios => cargo::build_remuda().and_then(|()| cargo::build_whoami()),
            _ => cargo::build_remuda(),
        };
        if let Err(error) = built {
            self.fail(format!("{name}: {error:#}"));
            return Ok(());
        }
        // One at a time: they share the kernel's cgroup hooks, CPU and clock.
        let filter: Vec<String> = ["--test-threads=1".to_owned()].into_iter().chain(filter.iter().cloned()).collect();
        self.cargo_test(&["--test", name], &filter)
    }

    fn check_format(&mut self) {
        let has_rustfmt = cargo::cargo(&["fmt", "--version"]).output().is_ok_and(|out| out.status.success());
        if !has_rustfmt {
            return self.skip("formatting: rustfmt is not installed (rustup component add rustfmt)".into());
        }
        match cargo::run(&mut cargo::cargo(&["fmt", "--all", "--check"]), "run: cargo fmt --all") {
            Ok(()) => self.pass("formatting"),
            Err(error) => self.fail(format!("formatting: {error:#}")),
        }
    }

    fn check_tidy(&mut self) {
        match tidy::check() {
            Ok(findings) if findings.is_empty() => self.pass("tidy"),
            Ok(findings) => {
                findings.iter().for_each(|finding| println!("{finding}"));
                self.fail(format!("tidy: {} findings (cargo xtask tidy)", findings.len()));
            }
            Err(error) => self.fail(format!("tidy: {error:#}")),
        }
    }

    /// Always the whole workspace: with fewer packages cargo would choose other features, and compile everything again.
    fn cargo_test(&mut self, args: &[&str], filter: &[String]) -> Result<()> {
        let mut command = cargo::cargo(&["test", "--release", "--workspace", "--no-fail-fast"]);
        command.args(args);
        if !filter.is_empty() {
            command.arg("--").args(filter);
        }
        let before = self.counts;
        let status = self.stream(&mut command)?;
        let ran = self.counts.passed + self.counts.failed > before.passed + before.failed;
        // A compile error or a crash ends cargo without a libtest summary that says so.
        if !status.success() && self.counts.failed == before.failed {
            let what =
                if ran { "a test program crashed or did not compile" } else { "did not compile or did not start" };
            self.fail(format!("cargo test {}: {what} ({status}); see above", args.join(" ")));
        }
        Ok(())
    }

    /// Runs `command` with its lines shown as they come, and counts what they report.
    fn stream(&mut self, command: &mut Command) -> Result<ExitStatus> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {:?}", command.get_program()))?;
        let (sender, lines) = mpsc::channel();
        forward(child.stdout.take(), sender.clone());
        forward(child.stderr.take(), sender);
        let deadline = Instant::now() + self.group.limit();
        loop {
            match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.line(&line),
                Err(RecvTimeoutError::Disconnected) => return Ok(child.wait()?),
                Err(RecvTimeoutError::Timeout) => {
                    self.fail(format!(
                        "{}: hung for {} minutes, ended",
                        self.group.name(),
                        self.group.limit().as_secs() / 60
                    ));
                    process::kill_tree(child.id());
                    return Ok(child.wait()?);
                }
            }
        }
    }

    fn line(&mut self, line: &str) {
        println!("{line}");
        if let Some(reason) = libtest::skip_line(line) {
            self.said_skipped += 1;
            self.skip(format!("skipped: {reason}"));
        }
        if let Some(mut counts) = libtest::result_line(line) {
            counts.passed = counts.passed.saturating_sub(std::mem::take(&mut self.said_skipped));
            self.counts += counts;
        }
    }

    fn pass(&mut self, what: &str) {
        println!("{what} ok");
        self.counts.passed += 1;
    }

    fn fail(&mut self, note: String) {
        println!("FAILED {note}");
        self.counts.failed += 1;
        self.notes.push(format!("failed: {note}"));
    }

    fn skip(&mut self, note: String) {
        self.counts.skipped += 1;
        self.notes.push(note);
    }
}

fn forward(from: Option<impl Read + Send + 'static>, to: Sender<String>) {
    let Some(from) = from else { return };
    std::thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|len| len > 0) {
            let text = String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned();
            if to.send(text).is_err() {
                return;
            }
            line.clear();
        }
    });
}

/// The crate whose tests need root.
const ROOT_TESTS: &str = "remuda-tests";

/// Names of the test programs of the packages asked for.
fn test_targets(is_wanted: impl Fn(&str) -> bool) -> Result<Vec<String>> {
    let text = cargo::output(&mut cargo::cargo(&["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: Value = serde_json::from_str(&text).context("cargo metadata is no JSON")?;
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let packages = list(&metadata["packages"]);
    let wanted = packages.iter().filter(|package| package["name"].as_str().is_some_and(&is_wanted));
    let targets = wanted.flat_map(|package| list(&package["targets"]));
    let tests = targets.filter(|target| list(&target["kind"]).iter().any(|kind| kind == "test"));
    let mut names: Vec<String> = tests.filter_map(|target| target["name"].as_str().map(str::to_owned)).collect();
    names.sort();
    names.dedup();
    Ok(names)
}
