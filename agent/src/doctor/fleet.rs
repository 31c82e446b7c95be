//! The agent of this host, where one runs or ran: what it says of itself, and whether it reaches its server.

use super::{Finding, Section};

const SECTION: Section = Section("fleet");
/// Renewed at 16 of 24 hours; this close to the end something keeps it from that.
const CERTIFICATE_LOW_S: u64 = 4 * 60 * 60;

#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Where its data would be.
    pub data_dir: String,
    /// It joined a fleet at some time.
    pub is_member: bool,
    /// What it answers on its admin socket; None = none runs, or it does not answer.
    pub agent: Option<Agent>,
    /// The end of its certificate, Unix seconds.
    pub certificate_end_s: Option<u64>,
    /// Address of its server, and what came of a connection.
    pub server: Option<(String, Result<(), String>)>,
}

#[derive(Clone, Debug, Default)]
pub struct Agent {
    pub is_synced: bool,
    pub generation: u64,
    pub wanted_generation: u64,
    pub problems: Vec<String>,
}

pub fn judge(facts: &Facts, now_s: u64) -> Vec<Finding> {
    let Some(agent) = &facts.agent else { return vec![absent(facts)] };
    let mut findings = vec![ready(agent)];
    let cure = "`remuda host inspect NAME` shows them too; the agent goes on trying";
    findings.extend(agent.problems.iter().map(|problem| SECTION.warn("problem", problem, cure)));
    findings.extend(facts.certificate_end_s.map(|end_s| certificate(end_s, now_s)));
    findings.extend(facts.server.as_ref().map(|(address, outcome)| server(address, outcome)));
    findings
}

fn absent(facts: &Facts) -> Finding {
    match facts.is_member {
        true => SECTION.warn(
            "agent",
            format!(
                "this host is part of a fleet ({}), and no agent answers: containers go on, nothing watches them",
                facts.data_dir
            ),
            "systemctl start remuda-agent (or the `remuda agent --server …` line of before)",
        ),
        false => SECTION.ok("agent", "no agent runs here: this host is part of no fleet yet"),
    }
}

fn ready(agent: &Agent) -> Finding {
    let Agent { generation, wanted_generation, .. } = agent;
    match (agent.is_synced, generation < wanted_generation) {
        (false, _) => SECTION.warn(
            "agent",
            "it runs and has no assignment of its server yet: it goes on with the one it stored",
            "see the connection to the server below, and the agent's log",
        ),
        (true, true) => SECTION.warn(
            "agent",
            format!("it is at generation {generation} of {wanted_generation}: a step does not succeed"),
            "its problems are listed below; the agent's log has more",
        ),
        (true, false) => SECTION.ok("agent", format!("ready, at generation {generation}")),
    }
}

fn certificate(end_s: u64, now_s: u64) -> Finding {
    let hours = end_s.saturating_sub(now_s) / 3600;
    match end_s.checked_sub(now_s) {
        None | Some(0) => SECTION.fail(
            "certificate",
            "it has expired: the server lets this host only renew it",
            "let the agent reach its server: it renews by itself within 90 days; after that `remuda leave` and join anew",
        ),
        Some(left) if left < CERTIFICATE_LOW_S => SECTION.warn(
            "certificate",
            format!("it ends in {hours} h and was not renewed, which happens 8 h before"),
            "let the agent reach its server; compare the clocks of both",
        ),
        Some(_) => SECTION.ok("certificate", format!("valid for {hours} more hours; renewed by itself")),
    }
}

fn server(address: &str, outcome: &Result<(), String>) -> Finding {
    match outcome {
        Ok(()) => SECTION.ok("server", format!("{address} takes connections")),
        Err(why) => SECTION.fail(
            "server",
            format!("{address}: {why}: this host goes on as it is and hears of no change"),
            "is `remuda server` running there, and does a firewall between let TCP to it?",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::super::tests::troubles;
    use super::*;

    const NOW_S: u64 = 1_800_000_000;

    fn good() -> Facts {
        let agent = Agent { is_synced: true, generation: 7, wanted_generation: 7, problems: Vec::new() };
        Facts {
            data_dir: "/d".into(),
            is_member: true,
            agent: Some(agent),
            certificate_end_s: Some(NOW_S + 20 * 3600),
            server: Some(("192.0.2.1:8443".into(), Ok(()))),
        }
    }

    fn with(edit: impl Fn(&mut Agent)) -> Facts {
        let mut facts = good();
        facts.agent.as_mut().into_iter().for_each(edit);
        facts
    }

    #[test]
    fn a_host_without_an_agent_is_well_and_one_that_lost_it_is_not() {
        assert_eq!(troubles(&judge(&Facts::default(), NOW_S)), []);
        assert_eq!(troubles(&judge(&good(), NOW_S)), []);
        assert_eq!(troubles(&judge(&Facts { agent: None, ..good() }, NOW_S)), [(Verdict::Warn, "agent")]);
    }

    #[test]
    fn what_an_agent_cannot_do_is_shown() {
        let unreachable = Some(("192.0.2.1:8443".to_owned(), Err("connection refused".to_owned())));
        for (facts, trouble) in [
            (with(|agent| agent.is_synced = false), (Verdict::Warn, "agent")),
            (with(|agent| agent.wanted_generation = 9), (Verdict::Warn, "agent")),
            (with(|agent| agent.problems.push("port 80 is taken".into())), (Verdict::Warn, "problem")),
            (Facts { certificate_end_s: Some(NOW_S + 60), ..good() }, (Verdict::Warn, "certificate")),
            (Facts { certificate_end_s: Some(NOW_S - 60), ..good() }, (Verdict::Fail, "certificate")),
            (Facts { server: unreachable, ..good() }, (Verdict::Fail, "server")),
        ] {
            assert_eq!(troubles(&judge(&facts, NOW_S)), [trouble]);
        }
    }
}
