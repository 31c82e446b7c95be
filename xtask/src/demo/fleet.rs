//! The lab as the demo asks it: through `remuda`, from inside a container, from a host, from the outside.

use crate::cargo;
use anyhow::{Context, Result, bail};
use remuda_lab::Lab;
use serde_json::Value;
use std::process::Output;

pub struct Fleet {
    pub lab: Lab,
}

/// The container from which the inside is looked at.
const INSIDE: &str = "shop-api-1";

impl Fleet {
    /// `remuda ARGS`; errors with what it said.
    pub fn remuda(&self, args: &[&str]) -> Result<String> {
        said(&format!("remuda {}", args.join(" ")), self.lab.remuda(args)?)
    }

    /// A listing.
    pub fn list(&self, args: &[&str]) -> Result<Vec<Value>> {
        let text = self.remuda(&[args, &["-o", "json"]].concat())?;
        serde_json::from_str(&text).with_context(|| format!("remuda {} -o json is no array", args.join(" ")))
    }

    /// `shop ARGS` inside a container, by `remuda exec`.
    pub fn inside(&self, args: &[&str]) -> Result<String> {
        let shop = shop();
        self.remuda(&[&["exec", INSIDE, "--", &shop], args].concat())
    }

    /// `shop ARGS` as a process of a host, or of `client`.
    pub fn on(&self, machine: &str, args: &[&str]) -> Result<String> {
        let shop = shop();
        self.command(machine, &[&[shop.as_str()], args].concat())
    }

    /// Any command there.
    pub fn command(&self, machine: &str, argv: &[&str]) -> Result<String> {
        said(&format!("{machine}: {}", argv.join(" ")), self.lab.run(machine, argv)?)
    }

    pub fn hosts(&self) -> Vec<(String, String)> {
        self.lab.state.hosts.iter().map(|host| (host.name.clone(), host.underlay_ip.clone())).collect()
    }

    /// Containers of a service: name, host, address.
    pub fn containers(&self, service: &str) -> Result<Vec<(String, String, String)>> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mine = |container: &Value| container["stack"] == "shop" && container["service"] == service;
        let all = self.list(&["ps"])?;
        Ok(all.iter().filter(|c| mine(c)).map(|c| (text(&c["name"]), text(&c["host"]), text(&c["ip"]))).collect())
    }
}

fn shop() -> String {
    cargo::at("target/release/shop").display().to_string()
}

fn said(what: &str, out: Output) -> Result<String> {
    if !out.status.success() {
        let words = [out.stderr, out.stdout].concat();
        bail!("`{what}` ({}): {}", out.status, String::from_utf8_lossy(&words).trim());
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// Lines `KEY NAME COUNT` of `shop visit` and `shop look-up`.
pub fn counts<'a>(text: &'a str, key: &str) -> Vec<(&'a str, u32)> {
    let words = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    words
        .filter(|words| words.len() == 3 && words[0] == key)
        .filter_map(|words| Some((words[1], words[2].parse().ok()?)))
        .collect()
}

/// The line `rate N`, per second.
pub fn rate(text: &str) -> u32 {
    text.lines().find_map(|line| line.strip_prefix("rate ")?.trim().parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_shop_prints_is_understood() {
        let text = "rate 4100\nseen 10.42.0.5 3\nbackend shop-web-1 1\nbackend shop-web-2 2\n";
        assert_eq!(rate(text), 4100);
        assert_eq!(counts(text, "backend"), [("shop-web-1", 1), ("shop-web-2", 2)]);
        assert_eq!(counts(text, "seen"), [("10.42.0.5", 3)]);
    }
}
