//! What would stop or slow the agent on this host, each with its cure: `remuda doctor`.
//!
//! [`look`] gathers facts and changes nothing; [`judge`] and everything below it is pure. One file per section, in the
//! order they are printed: [`kernel`], [`limits`], [`network`] with [`firewall`] and [`ports`], [`time`], [`engine`],
//! [`fleet`].

pub mod engine;
pub mod firewall;
pub mod fleet;
pub mod kernel;
pub mod limits;
pub mod look;
pub mod network;
pub mod ports;
pub mod time;

use serde::Serialize;

/// Everything that was seen of this host.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub kernel: kernel::Facts,
    pub limits: limits::Facts,
    pub network: network::Facts,
    pub firewall: firewall::Facts,
    pub ports: ports::Facts,
    pub time: time::Facts,
    pub engine: engine::Facts,
    pub fleet: fleet::Facts,
}

/// What each fact means, in the order people read it.
pub fn judge(facts: &Facts) -> Vec<Finding> {
    let is_agent_here = facts.fleet.agent.is_some();
    let mut findings = kernel::judge(&facts.kernel);
    findings.extend(limits::judge(&facts.limits));
    findings.extend(network::judge(&facts.network, is_agent_here));
    findings.extend(firewall::judge(&facts.firewall, &facts.network.uplink_names(), is_agent_here));
    findings.extend(ports::judge(&facts.ports));
    findings.extend(time::judge(&facts.time));
    findings.extend(engine::judge(&facts.engine));
    findings.extend(fleet::judge(&facts.fleet, facts.time.now_s));
    findings
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Ok,
    /// It works, but slower, or not for everything.
    Warn,
    /// It does not work.
    Fail,
}

/// One check and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub section: &'static str,
    pub check: &'static str,
    pub verdict: Verdict,
    pub message: String,
    /// What to type or change; None where all is well.
    pub cure: Option<String>,
}

/// Makes the findings of one section.
#[derive(Clone, Copy)]
struct Section(&'static str);

impl Section {
    fn ok(self, check: &'static str, message: impl Into<String>) -> Finding {
        Finding { section: self.0, check, verdict: Verdict::Ok, message: message.into(), cure: None }
    }

    fn warn(self, check: &'static str, message: impl Into<String>, cure: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Warn, cure: Some(cure.into()), ..self.ok(check, message) }
    }

    fn fail(self, check: &'static str, message: impl Into<String>, cure: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Fail, cure: Some(cure.into()), ..self.ok(check, message) }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// `warn network/uplink, …` of each finding that is not ok.
    pub(crate) fn troubles(findings: &[Finding]) -> Vec<(Verdict, &str)> {
        assert!(findings.iter().all(|found| (found.verdict == Verdict::Ok) == found.cure.is_none()), "{findings:#?}");
        findings.iter().filter(|found| found.verdict != Verdict::Ok).map(|f| (f.verdict, f.check)).collect()
    }

    #[test]
    fn a_host_of_which_nothing_could_be_seen_is_judged_without_a_word_too_few() {
        let findings = judge(&Facts::default());
        let sections: std::collections::BTreeSet<_> = findings.iter().map(|found| found.section).collect();
        assert_eq!(
            sections.into_iter().collect::<Vec<_>>(),
            ["engine", "fleet", "kernel", "limits", "network", "time"]
        );
        assert!(findings.iter().all(|found| !found.message.is_empty()));
        troubles(&findings);
    }
}
