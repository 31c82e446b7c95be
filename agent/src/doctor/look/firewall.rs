//! Reads the rules with the programs that own them; both only list.

use std::process::{Command, Stdio};

use crate::doctor::firewall::{Facts, Ruleset, legacy, nft};

/// Holds the older iptables' tables that are in use (in this network namespace).
const LEGACY_TABLES: &str = "/proc/net/ip_tables_names";

pub(super) fn look(is_server_here: bool) -> Facts {
    let read = run("nft", &["-j", "list", "ruleset"]).and_then(|text| nft::parse(&text));
    let (mut ruleset, unread) = match read {
        Ok(ruleset) => (Some(ruleset), String::new()),
        Err(why) => (None, why),
    };
    if let (Some(ruleset), Some(older)) = (&mut ruleset, older()) {
        ruleset.chains.extend(older.chains);
    }
    let manager = ruleset.as_ref().map(manager).unwrap_or_default();
    Facts { ruleset, unread, is_server_here, manager }
}

/// Tables of the older iptables, only if there are any: to ask otherwise would make them.
fn older() -> Option<Ruleset> {
    let tables = std::fs::read_to_string(LEGACY_TABLES).ok()?;
    let text = tables.lines().any(|table| table == "filter").then(|| run("iptables-legacy", &["-S"]).ok())??;
    Some(legacy::parse(&text))
}

fn manager(ruleset: &Ruleset) -> String {
    let has = |test: &dyn Fn(&str, &str) -> bool| ruleset.chains.iter().any(|chain| test(&chain.table, &chain.name));
    match () {
        () if has(&|_, chain| chain.starts_with("ufw-")) => "ufw".into(),
        () if has(&|table, _| table == "firewalld") => "firewalld".into(),
        () => String::new(),
    }
}

/// What a program prints. Errors end a sentence: `the rules …`.
fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("cannot be read: {program}: {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => {
            let words = String::from_utf8_lossy(&output.stderr);
            Err(format!("cannot be read: {program}: {}", words.lines().next().unwrap_or("it failed")))
        }
    }
}
