//! One packet's way through the rules. What a rule asks that is not known here makes the answer unsure, never wrong.

/// Chains that call each other deeper than this are a mistake of somebody's (the kernel allows 16).
const DEPTH_MAX: u32 = 16;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruleset {
    pub chains: Vec<Chain>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    pub family: String,
    pub table: String,
    pub name: String,
    /// None = only other chains lead here.
    pub base: Option<Base>,
    pub rules: Vec<Rule>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Base {
    /// `prerouting`, `input`, `forward`, …
    pub hook: String,
    pub is_closed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub tests: Vec<Test>,
    pub action: Action,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    Protocol(Vec<String>),
    /// Destination ports, both ends included.
    Ports(Vec<(u16, u16)>),
    /// The same of one protocol.
    PortsOf(String, Vec<(u16, u16)>),
    /// Interface names, `*` at the end for any.
    Iif {
        names: Vec<String>,
        is_negated: bool,
    },
    Oif {
        names: Vec<String>,
        is_negated: bool,
    },
    /// Only what belongs to a connection that exists.
    Established,
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Accept,
    Drop,
    Jump(String),
    Goto(String),
    Return,
    /// Counts, logs, marks.
    Other,
}

/// The first packet of something new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// In the order they are passed.
    pub hooks: [&'static str; 2],
    pub iif: String,
    pub oif: Option<String>,
    pub protocol: String,
    pub port: Option<u16>,
}

impl Packet {
    /// To this host itself.
    pub fn input(iif: &str, protocol: &str, port: Option<u16>) -> Self {
        Self { hooks: ["prerouting", "input"], iif: iif.into(), oif: None, protocol: protocol.into(), port }
    }

    /// Through this host.
    pub fn forward(iif: &str, oif: &str, protocol: &str, port: Option<u16>) -> Self {
        let oif = Some(oif.to_owned());
        Self { hooks: ["prerouting", "forward"], iif: iif.into(), oif, protocol: protocol.into(), port }
    }
}

/// What becomes of it; `by` says which chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    Passes,
    Dropped {
        by: String,
    },
    /// Dropped unless a rule that asks something unknown lets it pass.
    Unsure {
        by: String,
    },
}

/// Every base chain of its hooks must let it pass: an accept in one overrules no drop in another.
pub fn walk(ruleset: &Ruleset, packet: &Packet) -> Fate {
    let of_hook = |chain: &&Chain| {
        matches!(chain.family.as_str(), "ip" | "inet")
            && chain.base.as_ref().is_some_and(|base| packet.hooks.contains(&base.hook.as_str()))
    };
    let fates = ruleset.chains.iter().filter(of_hook).map(|chain| base(ruleset, chain, packet));
    let mut unsure = None;
    for fate in fates {
        match fate {
            Fate::Passes => {}
            Fate::Dropped { .. } => return fate,
            Fate::Unsure { .. } => unsure = unsure.or(Some(fate)),
        }
    }
    unsure.unwrap_or(Fate::Passes)
}

fn base(ruleset: &Ruleset, chain: &Chain, packet: &Packet) -> Fate {
    let mut way = Way { ruleset, packet, may_be_accepted: false };
    let end = way.through(chain, 0);
    let by = match end {
        Some(End::Accepted) => return Fate::Passes,
        Some(End::Dropped(by)) => by,
        None if chain.base.as_ref().is_some_and(|base| base.is_closed) => format!("the policy of {}", name(chain)),
        None => return Fate::Passes,
    };
    if way.may_be_accepted { Fate::Unsure { by } } else { Fate::Dropped { by } }
}

fn name(chain: &Chain) -> String {
    format!("chain {} {} {}", chain.family, chain.table, chain.name)
}

enum End {
    Accepted,
    Dropped(String),
}

struct Way<'a> {
    ruleset: &'a Ruleset,
    packet: &'a Packet,
    /// A rule that asks something unknown would have let it pass.
    may_be_accepted: bool,
}

impl Way<'_> {
    /// None = it fell through, or returned.
    fn through(&mut self, chain: &Chain, depth: u32) -> Option<End> {
        for rule in &chain.rules {
            let Some(is_certain) = fits(rule, self.packet) else { continue };
            let (end, is_left) = match &rule.action {
                Action::Accept => (Some(End::Accepted), false),
                Action::Drop => (Some(End::Dropped(format!("a rule of {}", name(chain)))), false),
                Action::Jump(target) => (self.through_named(chain, target, depth), false),
                Action::Goto(target) => (self.through_named(chain, target, depth), true),
                Action::Return => (None, true),
                Action::Other => (None, false),
            };
            match (end, is_certain) {
                (Some(end), true) => return Some(end),
                (Some(End::Accepted), false) => self.may_be_accepted = true,
                // A drop on a condition (an invalid packet, an address on a list) is not about ours.
                (Some(End::Dropped(_)), false) => {}
                (None, true) if is_left => return None,
                (None, _) => {}
            }
        }
        None
    }

    fn through_named(&mut self, from: &Chain, target: &str, depth: u32) -> Option<End> {
        let is_target = |chain: &&Chain| {
            (chain.family.as_str(), chain.table.as_str(), chain.name.as_str())
                == (from.family.as_str(), from.table.as_str(), target)
        };
        let chain = self.ruleset.chains.iter().find(is_target).filter(|_| depth < DEPTH_MAX)?;
        self.through(chain, depth + 1)
    }
}

/// None = not this packet; Some(false) = it depends on what is not known.
fn fits(rule: &Rule, packet: &Packet) -> Option<bool> {
    let mut is_certain = true;
    for test in &rule.tests {
        let answer = match test {
            Test::Protocol(protocols) => Some(protocols.contains(&packet.protocol)),
            Test::Ports(ranges) => Some(is_within(ranges, packet)),
            Test::PortsOf(protocol, ranges) => Some(*protocol == packet.protocol && is_within(ranges, packet)),
            Test::Iif { names, is_negated } => Some(is_named(names, &packet.iif) != *is_negated),
            Test::Oif { names, is_negated } => {
                Some(packet.oif.as_ref().is_some_and(|oif| is_named(names, oif)) != *is_negated)
            }
            Test::Established => Some(false),
            Test::Unknown => None,
        };
        match answer {
            Some(true) => {}
            Some(false) => return None,
            None => is_certain = false,
        }
    }
    Some(is_certain)
}

fn is_within(ranges: &[(u16, u16)], packet: &Packet) -> bool {
    packet.port.is_some_and(|port| ranges.iter().any(|(low, high)| (*low..=*high).contains(&port)))
}

fn is_named(names: &[String], interface: &str) -> bool {
    names.iter().any(|name| match name.strip_suffix(['*', '+']) {
        Some(beginning) => interface.starts_with(beginning),
        None => name == interface,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(tests: Vec<Test>, action: Action) -> Rule {
        Rule { tests, action }
    }

    fn chain(name: &str, hook: Option<(&str, bool)>, rules: Vec<Rule>) -> Chain {
        let base = hook.map(|(hook, is_closed)| Base { hook: hook.into(), is_closed });
        Chain { family: "inet".into(), table: "t".into(), name: name.into(), base, rules }
    }

    fn fate(chains: Vec<Chain>) -> Fate {
        walk(&Ruleset { chains }, &Packet::input("eth0", "udp", Some(8445)))
    }

    #[test]
    fn a_drop_anywhere_is_final_and_an_accept_is_not() {
        let open = chain("a", Some(("input", false)), vec![rule(vec![], Action::Accept)]);
        let closed = chain("b", Some(("input", true)), vec![]);
        assert_eq!(fate(vec![open.clone()]), Fate::Passes);
        assert_eq!(fate(vec![open.clone(), closed]), Fate::Dropped { by: "the policy of chain inet t b".into() });
        let raw =
            chain("c", Some(("prerouting", false)), vec![rule(vec![Test::Protocol(vec!["udp".into()])], Action::Drop)]);
        assert_eq!(fate(vec![open, raw]), Fate::Dropped { by: "a rule of chain inet t c".into() });
    }

    #[test]
    fn what_a_rule_asks_that_is_unknown_makes_the_answer_unsure() {
        let by_address = rule(vec![Test::Unknown, Test::Ports(vec![(8445, 8445)])], Action::Accept);
        let by = "the policy of chain inet t a".to_owned();
        assert_eq!(fate(vec![chain("a", Some(("input", true)), vec![by_address])]), Fate::Unsure { by: by.clone() });
        let invalid = rule(vec![Test::Unknown], Action::Drop);
        assert_eq!(fate(vec![chain("a", Some(("input", false)), vec![invalid])]), Fate::Passes);
        let known = rule(vec![Test::Established], Action::Accept);
        assert_eq!(fate(vec![chain("a", Some(("input", true)), vec![known])]), Fate::Dropped { by });
    }

    #[test]
    fn chains_are_entered_and_left_and_may_not_go_round_for_ever() {
        let jump = |target: &str| rule(vec![], Action::Jump(target.into()));
        let accept = rule(vec![Test::Iif { names: vec!["eth*".into()], is_negated: false }], Action::Accept);
        let entry = chain("in", Some(("input", true)), vec![jump("user"), jump("ports")]);
        let user = chain("user", None, vec![rule(vec![], Action::Return), rule(vec![], Action::Drop)]);
        assert_eq!(fate(vec![entry.clone(), user.clone(), chain("ports", None, vec![accept])]), Fate::Passes);
        let round = chain("ports", None, vec![jump("ports")]);
        assert!(matches!(fate(vec![entry, user, round]), Fate::Dropped { .. }));
    }

    #[test]
    fn interfaces_may_be_excluded() {
        let other = rule(vec![Test::Iif { names: vec!["eth0".into()], is_negated: true }], Action::Drop);
        assert_eq!(fate(vec![chain("a", Some(("input", false)), vec![other])]), Fate::Passes);
    }
}
