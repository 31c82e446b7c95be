//! Packets that vanish at a host's switch port: one direction, a share of all, or all between two hosts.
//!
//! At the switch, because the host's own hooks see tunnel packets before its nftables would.

use super::say;
use crate::{Host, Lab, netns};
use anyhow::{Context, Result, bail};
use std::io::Write;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};

/// Which way the packets go that vanish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The host hears nothing, and is heard.
    ToHost,
    /// The host is not heard, and hears.
    FromHost,
    Both,
}

/// One nftables table at a switch port, there until this is dropped.
pub struct Filter {
    switch: String,
    /// Empty: taken away already.
    table: String,
}

/// Several filters may sit at one port: each has a table of its own.
static NEXT: AtomicU32 = AtomicU32::new(1);

impl Filter {
    /// `which`: an nftables expression in each direction that selects packets; `dropped`: how many of 100.
    fn begin(host: &Host, direction: Direction, which: [&str; 2], dropped: u8) -> Result<Filter> {
        let table = format!("fault_{}_{}", host.link, NEXT.fetch_add(1, Ordering::Relaxed));
        nft(&host.link_netns, &rules(&table, &host.link, direction, which, dropped))?;
        Ok(Filter { switch: host.link_netns.clone(), table })
    }

    /// Lets packets through again; dropping does the same, but cannot say why it failed.
    pub fn heal(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        match std::mem::take(&mut self.table) {
            table if table.is_empty() => Ok(()),
            table => nft(&self.switch, &format!("delete table netdev {table}\n")),
        }
    }
}

impl Drop for Filter {
    fn drop(&mut self) {
        say(self.end());
    }
}

/// What a host sends enters the switch at its port, what it gets leaves the switch there.
fn rules(table: &str, port: &str, direction: Direction, which: [&str; 2], dropped: u8) -> String {
    let share = if dropped >= 100 { String::new() } else { format!("numgen random mod 100 < {dropped} ") };
    let chain = |hook: &str, which: &str| {
        format!(
            "chain {hook} {{ type filter hook {hook} device \"{port}\" priority 0; policy accept; {which} {share}counter drop; }}\n"
        )
    };
    let from = if direction == Direction::ToHost { String::new() } else { chain("ingress", which[0]) };
    let to = if direction == Direction::FromHost { String::new() } else { chain("egress", which[1]) };
    format!("table netdev {table} {{\n{from}{to}}}\n")
}

fn nft(switch: &str, text: &str) -> Result<()> {
    let mut child = netns::command(switch, "nft")?
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start `nft` (package nftables)")?;
    child.stdin.take().context("nft has an input")?.write_all(text.as_bytes())?;
    let out = child.wait_with_output()?;
    if !out.status.success() {
        bail!("nft refused\n{text}{}", String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(())
}

impl Lab {
    /// Nothing goes this way any more.
    pub fn one_way(&self, host: &str, direction: Direction) -> Result<Filter> {
        Filter::begin(self.host(host)?, direction, ["", ""], 100)
    }

    /// `percent` of what the host sends and of what is sent to it is lost.
    pub fn loss(&self, host: &str, percent: u8) -> Result<Filter> {
        Filter::begin(self.host(host)?, Direction::Both, ["", ""], percent)
    }

    /// These two hosts do not reach each other, and everybody else does.
    pub fn part(&self, host: &str, other: &str) -> Result<Filter> {
        let ip = &self.host(other)?.underlay_ip;
        let which = [format!("ip daddr {ip}"), format!("ip saddr {ip}")];
        Filter::begin(self.host(host)?, Direction::Both, [&which[0], &which[1]], 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_hears_nothing_still_sends() {
        let text = rules("t", "h1", Direction::ToHost, ["", ""], 100);
        assert!(text.contains("hook egress device \"h1\"") && !text.contains("ingress"), "{text}");
        assert!(!text.contains("numgen"), "all of it is dropped: {text}");
    }

    #[test]
    fn loss_takes_its_share_both_ways() {
        let text = rules("t", "h1", Direction::Both, ["", ""], 30);
        assert_eq!(text.matches("numgen random mod 100 < 30 counter drop").count(), 2, "{text}");
    }
}
