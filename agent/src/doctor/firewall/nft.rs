//! `nft -j list ruleset` (libnftables-json(5)) as rules to walk.

use serde_json::Value;

use super::walk::{Action, Base, Chain, Rule, Ruleset, Test};

/// Errors say what is not understood.
pub fn parse(json: &str) -> Result<Ruleset, String> {
    let value: Value = serde_json::from_str(json).map_err(|error| format!("are no JSON: {error}"))?;
    let objects = value["nftables"].as_array().ok_or("are not what nft prints")?;
    let mut chains: Vec<Chain> = objects.iter().filter_map(|object| chain(object.get("chain")?)).collect();
    for rule in objects.iter().filter_map(|object| object.get("rule")) {
        let place = |chain: &&mut Chain| {
            (rule["family"].as_str(), rule["table"].as_str(), rule["chain"].as_str())
                == (Some(&*chain.family), Some(&*chain.table), Some(&*chain.name))
        };
        if let (Some(chain), Some(expressions)) = (chains.iter_mut().find(place), rule["expr"].as_array()) {
            chain.rules.extend(rules(expressions));
        }
    }
    Ok(Ruleset { chains })
}

fn chain(value: &Value) -> Option<Chain> {
    let text = |key: &str| value[key].as_str().map(str::to_owned);
    // Chains of other types translate and mark; they drop nothing by policy that anybody uses.
    let base = text("hook")
        .filter(|_| value["type"] == "filter")
        .map(|hook| Base { hook, is_closed: value["policy"] == "drop" });
    Some(Chain { family: text("family")?, table: text("table")?, name: text("name")?, base, rules: Vec::new() })
}

/// One rule; more where it ends in a map of verdicts, one of which may let ours pass.
fn rules(expressions: &[Value]) -> Vec<Rule> {
    let mut tests = Vec::new();
    for expression in expressions {
        let Some((kind, value)) = expression.as_object().and_then(|object| object.iter().next()) else { continue };
        let action = match kind.as_str() {
            "match" => {
                tests.push(test(value));
                continue;
            }
            "accept" => Action::Accept,
            "drop" | "reject" => Action::Drop,
            "return" => Action::Return,
            "jump" | "goto" => {
                let target = value["target"].as_str().unwrap_or_default().to_owned();
                if kind == "jump" { Action::Jump(target) } else { Action::Goto(target) }
            }
            // `ct state vmap { established : accept, … }` says nothing of new connections.
            "vmap" if is_state(&value["key"]) => continue,
            "vmap" => {
                tests.push(Test::Unknown);
                return verdicts(value).map(|action| Rule { tests: tests.clone(), action }).collect();
            }
            "xt" => match xt(value) {
                Some(action) => action,
                None => {
                    tests.push(Test::Unknown);
                    continue;
                }
            },
            _ => continue,
        };
        return vec![Rule { tests, action }];
    }
    vec![Rule { tests, action: Action::Other }]
}

fn verdicts(vmap: &Value) -> impl Iterator<Item = Action> {
    let pairs = vmap["data"]["set"].as_array().into_iter().flatten();
    pairs.filter_map(|pair| {
        let verdict = pair.as_array()?.get(1)?.as_object()?;
        let (kind, value) = verdict.iter().next()?;
        match kind.as_str() {
            "accept" => Some(Action::Accept),
            "jump" => Some(Action::Jump(value["target"].as_str()?.to_owned())),
            "goto" => Some(Action::Goto(value["target"].as_str()?.to_owned())),
            _ => None,
        }
    })
}

/// Extensions of iptables: targets that end a rule are known, matches are not.
fn xt(value: &Value) -> Option<Action> {
    (value["type"] == "target").then(|| match value["name"].as_str() {
        Some("REJECT") => Action::Drop,
        _ => Action::Other,
    })
}

fn is_state(value: &Value) -> bool {
    value["ct"]["key"] == "state"
}

fn test(value: &Value) -> Test {
    let (left, right, is_negated) = (&value["left"], &value["right"], value["op"] == "!=");
    let meta = left["meta"]["key"].as_str().unwrap_or_default();
    let field = left["payload"]["field"].as_str().unwrap_or_default();
    match (meta, field) {
        ("iifname" | "iif", _) => texts(right).map_or(Test::Unknown, |names| Test::Iif { names, is_negated }),
        ("oifname" | "oif", _) => texts(right).map_or(Test::Unknown, |names| Test::Oif { names, is_negated }),
        ("l4proto", _) | (_, "protocol") if !is_negated => texts(right).map_or(Test::Unknown, Test::Protocol),
        (_, "dport") if !is_negated => ports(left, right),
        _ if is_state(left) && !is_negated => match texts(right) {
            Some(states) if !states.iter().any(|state| state == "new" || state == "untracked") => Test::Established,
            _ => Test::Unknown,
        },
        _ => Test::Unknown,
    }
}

/// `udp dport` says the protocol too, `th dport` means any.
fn ports(left: &Value, right: &Value) -> Test {
    let protocol = left["payload"]["protocol"].as_str().unwrap_or_default();
    match ranges(right) {
        Some(ranges) if protocol == "th" => Test::Ports(ranges),
        Some(ranges) => Test::PortsOf(protocol.to_owned(), ranges),
        None => Test::Unknown,
    }
}

fn ranges(value: &Value) -> Option<Vec<(u16, u16)>> {
    let port = |value: &Value| value.as_u64().and_then(|number| u16::try_from(number).ok());
    let one = |value: &Value| match value["range"].as_array().map(Vec::as_slice) {
        Some([low, high]) => Some((port(low)?, port(high)?)),
        _ => port(value).map(|port| (port, port)),
    };
    list(value).into_iter().map(one).collect()
}

fn texts(value: &Value) -> Option<Vec<String>> {
    list(value)
        .into_iter()
        .map(|value| value.as_str().filter(|text| !text.starts_with('@')).map(str::to_owned))
        .collect()
}

/// A value, a list, or `{"set": […]}`.
fn list(value: &Value) -> Vec<&Value> {
    match value.as_array().or_else(|| value["set"].as_array()) {
        Some(list) => list.iter().collect(),
        None => vec![value],
    }
}

#[cfg(test)]
mod tests {
    use super::super::walk::{Fate, Packet, walk};
    use super::*;

    fn closed(expressions: &str) -> Ruleset {
        let base = r#"{"chain":{"family":"ip","table":"filter","name":"INPUT","type":"filter","hook":"input","policy":"drop"}}"#;
        let rule = format!(r#"{{"rule":{{"family":"ip","table":"filter","chain":"INPUT","expr":[{expressions}]}}}}"#);
        parse(&format!(r#"{{"nftables":[{base},{rule}]}}"#)).expect("understood")
    }

    fn passes(expressions: &str) -> bool {
        walk(&closed(expressions), &Packet::input("eth0", "udp", Some(8445))) == Fate::Passes
    }

    fn is_unsure(expressions: &str) -> bool {
        matches!(walk(&closed(expressions), &Packet::input("eth0", "udp", Some(8445))), Fate::Unsure { .. })
    }

    #[test]
    fn ports_protocols_and_interfaces_are_understood_in_every_form() {
        let dport = |protocol: &str, right: &str| {
            format!(
                r#"{{"match":{{"op":"==","left":{{"payload":{{"protocol":"{protocol}","field":"dport"}}}},"right":{right}}}}},{{"accept":null}}"#
            )
        };
        assert!(passes(&dport("udp", "8445")));
        assert!(passes(&dport("udp", r#"{"set":[4789,{"range":[8440,8450]}]}"#)));
        assert!(passes(&dport("th", "8445")));
        assert!(!passes(&dport("tcp", "8445")) && !passes(&dport("udp", "8446")));
        assert!(is_unsure(&dport("udp", r#""@ports""#)), "a named set may hold it");
        assert!(passes(r#"{"match":{"op":"==","left":{"meta":{"key":"l4proto"}},"right":"udp"}},{"accept":null}"#));
        assert!(passes(r#"{"match":{"op":"==","left":{"meta":{"key":"iifname"}},"right":"eth*"}},{"accept":null}"#));
        assert!(!passes(r#"{"match":{"op":"!=","left":{"meta":{"key":"iifname"}},"right":"eth0"}},{"accept":null}"#));
    }

    #[test]
    fn maps_of_verdicts_and_extensions_make_it_unsure_at_most() {
        let vmap = |key: &str| {
            format!(r#"{{"vmap":{{"key":{key},"data":{{"set":[["a",{{"accept":null}}],["b",{{"drop":null}}]]}}}}}}"#)
        };
        assert!(!passes(&vmap(r#"{"ct":{"key":"state"}}"#)) && !is_unsure(&vmap(r#"{"ct":{"key":"state"}}"#)));
        assert!(is_unsure(&vmap(r#"{"payload":{"protocol":"ip","field":"saddr"}}"#)));
        assert!(is_unsure(r#"{"xt":{"type":"match","name":"set"}},{"accept":null}"#));
        assert!(is_unsure(
            r#"{"match":{"op":"==","left":{"payload":{"protocol":"ip","field":"saddr"}},"right":"10.0.0.1"}},{"accept":null}"#
        ));
    }

    #[test]
    fn nonsense_is_said_to_be_nonsense() {
        assert!(parse("{").is_err() && parse("{}").is_err());
    }
}
