//! `iptables-legacy -S` (iptables(8)) as rules to walk.

use std::collections::BTreeMap;

use super::walk::{Action, Base, Chain, Rule, Ruleset, Test};

/// The filter table; lines that are not understood ask something unknown.
pub fn parse(text: &str) -> Ruleset {
    let mut chains: BTreeMap<String, Chain> = BTreeMap::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["-P", name, policy] => {
                let base = Base { hook: name.to_ascii_lowercase(), is_closed: *policy == "DROP" };
                chain(&mut chains, name).base = Some(base);
            }
            ["-N", name] => drop(chain(&mut chains, name)),
            ["-A", name, rest @ ..] => chain(&mut chains, name).rules.push(rule(rest)),
            _ => {}
        }
    }
    Ruleset { chains: chains.into_values().collect() }
}

fn chain<'a>(chains: &'a mut BTreeMap<String, Chain>, name: &str) -> &'a mut Chain {
    chains.entry(name.to_owned()).or_insert_with(|| Chain {
        family: "ip".into(),
        table: "filter".into(),
        name: name.into(),
        ..Chain::default()
    })
}

fn rule(words: &[&str]) -> Rule {
    let (mut tests, mut action) = (Vec::new(), Action::Other);
    let (mut is_negated, mut at) = (false, 0);
    while let Some(word) = words.get(at) {
        let value = words.get(at + 1).copied().unwrap_or_default();
        let names = || vec![value.to_owned()];
        at += 2;
        match *word {
            "!" => {
                (is_negated, at) = (true, at - 1);
                continue;
            }
            "-p" if !is_negated => tests.push(Test::Protocol(names())),
            "-i" => tests.push(Test::Iif { names: names(), is_negated }),
            "-o" => tests.push(Test::Oif { names: names(), is_negated }),
            "--dport" | "--dports" if !is_negated => tests.push(ports(value).map_or(Test::Unknown, Test::Ports)),
            "--ctstate" | "--state" if !is_negated => tests.push(match value.contains("NEW") {
                true => Test::Unknown,
                false => Test::Established,
            }),
            "-m" if matches!(value, "tcp" | "udp" | "multiport" | "conntrack" | "state" | "comment") => {}
            "--comment" => at = skip_comment(words, at - 1),
            "-j" => {
                action = target(value);
                break;
            }
            "-g" => {
                action = Action::Goto(value.to_owned());
                break;
            }
            _ => tests.push(Test::Unknown),
        }
        is_negated = false;
    }
    Rule { tests, action }
}

/// A comment may be of several words in quotes; `at` is its first.
fn skip_comment(words: &[&str], at: usize) -> usize {
    let Some(first) = words.get(at).filter(|word| word.starts_with('"')) else { return at + 1 };
    if first.len() > 1 && first.ends_with('"') {
        return at + 1;
    }
    let end = words.iter().skip(at + 1).position(|word| word.ends_with('"'));
    at + 2 + end.unwrap_or(words.len())
}

fn target(name: &str) -> Action {
    match name {
        "ACCEPT" => Action::Accept,
        "DROP" | "REJECT" => Action::Drop,
        "RETURN" => Action::Return,
        "LOG" | "MARK" | "CONNMARK" | "NFLOG" | "TCPMSS" | "CT" | "NOTRACK" => Action::Other,
        chain => Action::Jump(chain.to_owned()),
    }
}

/// `22,8000:8443`.
fn ports(text: &str) -> Option<Vec<(u16, u16)>> {
    let range = |part: &str| {
        let (low, high) = part.split_once(':').unwrap_or((part, part));
        Some((low.parse().ok()?, high.parse().ok()?))
    };
    text.split(',').map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::super::walk::{Fate, Packet, walk};
    use super::*;

    fn fate(rules: &str) -> Fate {
        walk(&parse(rules), &Packet::input("eth0", "udp", Some(8445)))
    }

    #[test]
    fn the_words_of_iptables_are_understood() {
        let open = |rule: &str| fate(&format!("-P INPUT DROP\n-N user\n{rule}\n"));
        assert_eq!(open("-A INPUT -p udp -m udp --dport 8445 -j ACCEPT"), Fate::Passes);
        assert_eq!(open("-A INPUT -p udp -m multiport --dports 4789,8440:8450 -j ACCEPT"), Fate::Passes);
        assert_eq!(open("-A INPUT -i eth+ -m comment --comment \"let it all in\" -j ACCEPT"), Fate::Passes);
        assert_eq!(open("-A INPUT -j user\n-A user ! -i lo -j ACCEPT"), Fate::Passes);
        let dropped = Fate::Dropped { by: "the policy of chain ip filter INPUT".into() };
        assert_eq!(open("-A INPUT -i lo -j ACCEPT"), dropped);
        assert_eq!(open("-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"), dropped);
        assert!(matches!(open("-A INPUT -s 10.0.0.0/8 -j ACCEPT"), Fate::Unsure { .. }));
        assert!(matches!(open("-A INPUT ! -p tcp -j ACCEPT"), Fate::Unsure { .. }));
        assert_eq!(
            fate("-P INPUT ACCEPT\n-A INPUT -p udp -j REJECT"),
            Fate::Dropped { by: "a rule of chain ip filter INPUT".into() }
        );
    }
}
