//! Pulled cables: to everybody else the host is as if its power were gone, while all on it runs on.

use super::say;
use crate::{Lab, State, netns};
use anyhow::{Context, Result};

/// The cables of some hosts, pulled until this is dropped.
pub struct Cut {
    /// Namespace and name of each switch port that is down.
    ports: Vec<(String, String)>,
}

impl Cut {
    fn begin(state: &State, hosts: &[&str]) -> Result<Cut> {
        let mut cut = Cut { ports: Vec::new() };
        for name in hosts {
            let host = state.hosts.iter().find(|host| host.name == *name);
            let host = host.with_context(|| format!("no host {name} in this lab"))?;
            set(&host.link_netns, &host.link, "down")?;
            cut.ports.push((host.link_netns.clone(), host.link.clone()));
        }
        Ok(cut)
    }

    /// Plugs them in again; dropping does the same, but cannot say why it failed.
    pub fn heal(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        std::mem::take(&mut self.ports).iter().try_for_each(|(netns, port)| set(netns, port, "up"))
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        say(self.end());
    }
}

fn set(switch: &str, port: &str, state: &str) -> Result<()> {
    netns::ip(&["-n", switch, "link", "set", port, state])
}

impl Lab {
    /// Pulls the cables of these hosts, one after the other without a pause.
    pub fn cut_off(&self, hosts: &[&str]) -> Result<Cut> {
        Cut::begin(&self.state, hosts)
    }
}
