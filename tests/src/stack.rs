//! A lab with a server, and `remuda` as its user types it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use remuda_lab::{Lab, Options, Source, wait_for};
use serde_json::Value;

/// Generous: scenario figures are measured by `cargo xtask demo`, tests only ask whether it happens.
const CONVERGE_LIMIT: Duration = Duration::from_secs(45);

/// A fleet with an orchestrator; ends when dropped.
pub struct Fleet {
    pub lab: Lab,
}

impl Fleet {
    pub fn up(name: &str, hosts: usize) -> Result<Fleet> {
        Fleet::with_args(name, hosts, &[])
    }

    /// `extra`: added to every agent's command line.
    pub fn with_args(name: &str, hosts: usize, extra: &[&str]) -> Result<Fleet> {
        let mut options = Options::new(&format!("{name}-{}", std::process::id()), hosts);
        options.extra_args = extra.iter().map(|arg| (*arg).to_owned()).collect();
        if options.source != Source::Server {
            bail!("this remuda has no `server`");
        }
        Ok(Fleet { lab: Lab::up(&options)? })
    }

    /// The same with a container engine on every host; `None`, and the test counts as skipped, where none can run.
    pub fn with_docker(name: &str, hosts: usize) -> Result<Option<Fleet>> {
        if let Err(reason) = remuda_lab::engine::check() {
            remuda_lab::skip(&reason);
            return Ok(None);
        }
        let options = Options::new(&format!("{name}-{}", std::process::id()), hosts).with_docker();
        Ok(Some(Fleet { lab: Lab::up(&options)? }))
    }

    /// A compose file of this test in the lab's directory.
    pub fn file(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.lab.dir().join(name);
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }

    /// `remuda ARGS`, which must succeed; standard output.
    pub fn remuda(&self, args: &[&str]) -> Result<String> {
        let out = self.lab.remuda(args)?;
        if !out.status.success() {
            bail!("remuda {}: {}\n{}", args.join(" "), out.status, String::from_utf8_lossy(&out.stderr));
        }
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    }

    /// `remuda up` of this text as stack `stack`, until it has converged.
    pub fn deploy(&self, stack: &str, text: &str) -> Result<Duration> {
        let path = self.file(&format!("{stack}.yml"), text)?;
        let begin = Instant::now();
        self.remuda(&["up", "-f", &path.display().to_string(), "-s", stack])?;
        Ok(begin.elapsed())
    }

    /// The same as typed in `folder`; what it said on standard error.
    pub fn remuda_in(&self, folder: &Path, args: &[&str]) -> Result<String> {
        let out = self.lab.command(args)?.current_dir(folder).output()?;
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        if out.status.success() { Ok(said) } else { bail!("remuda {}: {}\n{said}", args.join(" "), out.status) }
    }

    /// A listing as JSON.
    pub fn list(&self, args: &[&str]) -> Result<Vec<Value>> {
        let text = self.remuda(&[args, &["-o", "json"]].concat())?;
        serde_json::from_str(&text).with_context(|| format!("remuda {} -o json printed: {text}", args.join(" ")))
    }

    pub fn containers(&self) -> Result<Vec<Value>> {
        self.list(&["ps"])
    }

    /// Waits until `look` at all containers finds something.
    pub fn wait<T>(&self, what: &str, mut look: impl FnMut(&[Value]) -> Option<T>) -> Result<T> {
        wait_for(what, CONVERGE_LIMIT, || Ok(look(&self.containers()?)))
    }

    /// Path of the network namespace of a running container.
    pub fn netns(&self, container: &str) -> Result<String> {
        let pid = self.wait(&format!("{container} runs"), |all| {
            all.iter().find(|c| c["name"] == container && c["state"] == "running")?["pid"].as_u64()
        })?;
        Ok(format!("/proc/{pid}/ns/net"))
    }
}

/// Field `name` as text; empty when it is null or absent.
pub fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// How many containers in state `running` each host has.
pub fn running_by_host(containers: &[Value]) -> std::collections::BTreeMap<String, usize> {
    let mut counts = std::collections::BTreeMap::new();
    for container in containers.iter().filter(|c| c["state"] == "running") {
        *counts.entry(text(container, "host").to_owned()).or_default() += 1;
    }
    counts
}
