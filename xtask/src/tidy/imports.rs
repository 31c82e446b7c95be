//! Who may import whom: the table of DESIGN.md section 2, checked in manifests and in `use` and paths.

use super::Finding;
use super::source::{Source, word_positions};
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

/// What a crate's manifest may name under `[dependencies]`.
struct Crate {
    directory: &'static str,
    rule: Rule,
}

enum Rule {
    /// Nothing but these.
    Only(&'static [&'static str]),
    /// Of our own crates only the first, and none of the second (`tonic` stands for `tonic-…` too).
    Own(&'static [&'static str], &'static [&'static str]),
}

const CRATES: [Crate; 10] = [
    Crate { directory: "abi", rule: Rule::Only(&[]) },
    Crate { directory: "ring", rule: Rule::Only(&[]) },
    Crate { directory: "ebpf", rule: Rule::Only(&["remuda-abi", "aya-ebpf", "network-types"]) },
    Crate {
        directory: "api",
        rule: Rule::Own(&[], &["tokio", "tonic", "aya", "hyper", "reqwest", "rtnetlink", "nix", "libc"]),
    },
    Crate {
        directory: "compose",
        rule: Rule::Own(&["remuda-api"], &["tokio", "tonic", "aya", "hyper", "reqwest", "nix", "libc"]),
    },
    Crate { directory: "dns", rule: Rule::Own(&["remuda-api"], &["aya", "tonic"]) },
    Crate { directory: "agent", rule: Rule::Own(&["remuda-api", "remuda-abi", "remuda-ring", "remuda-dns"], &[]) },
    Crate { directory: "orchestrator", rule: Rule::Own(&["remuda-api", "remuda-compose", "remuda-ring"], &["aya"]) },
    Crate {
        directory: "cli",
        rule: Rule::Own(
            &[
                "remuda-api",
                "remuda-abi",
                "remuda-compose",
                "remuda-agent",
                "remuda-orchestrator",
                "remuda-ring",
                "remuda-dns",
            ],
            &[],
        ),
    },
    Crate { directory: "lab", rule: Rule::Own(&["remuda-api", "remuda-abi"], &["aya"]) },
];

/// What the source of a module may not name.
struct Module {
    /// `agent/src/plan` means `plan.rs` and everything below `plan/`.
    paths: &'static [&'static str],
    never: &'static [&'static str],
    instead: &'static str,
}

const SOCKETS: [&str; 5] = ["TcpStream", "TcpListener", "UdpSocket", "UnixStream", "UnixListener"];

const MODULES: [Module; 5] = [
    Module {
        paths: &["agent/src/desired", "agent/src/observed", "agent/src/plan", "agent/src/action"],
        never: &[
            "tokio",
            "aya",
            "rtnetlink",
            "netlink_packet_route",
            "bollard",
            "rand",
            "Instant::now",
            "SystemTime::now",
            "tonic",
        ],
        instead: "deciding code is pure: take time, seeds and facts as arguments",
    },
    Module {
        paths: &["agent/src/kernel", "agent/src/runtime"],
        never: &["crate::source", "crate::plan", "super::source", "super::plan"],
        instead: "doing code receives actions; it does not know who planned them",
    },
    Module {
        paths: &["dns/src/view", "dns/src/answer"],
        never: &["tokio", "hickory_server", "TcpStream", "TcpListener", "UdpSocket"],
        instead: "an answer is computed from the view alone",
    },
    Module {
        paths: &[
            "orchestrator/src/accept",
            "orchestrator/src/alloc",
            "orchestrator/src/detector",
            "orchestrator/src/place",
            "orchestrator/src/rollout",
        ],
        never: &["tokio", "redb", "crate::store", "super::store", "Instant::now", "SystemTime::now", "rand"],
        instead: "deciding code is pure: the caller reads the store and the clock and passes what it found",
    },
    Module {
        paths: &["api/src/", "compose/src/"],
        never: &SOCKETS,
        instead: "this crate is data; sockets belong to agent, orchestrator or cli",
    },
];

/// Findings in the manifests.
pub fn manifests(root: &Path) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for Crate { directory, rule } in &CRATES {
        let file = format!("{directory}/Cargo.toml");
        let text = fs::read_to_string(root.join(&file)).with_context(|| format!("reading {file}"))?;
        for (line, name) in dependencies(&text) {
            if let Some(what_to_do) = refuse(rule, name) {
                findings.push(Finding { file: file.clone(), line, rule: "import table (DESIGN.md, 2)", what_to_do });
            }
        }
    }
    Ok(findings)
}

fn refuse(rule: &Rule, name: &str) -> Option<String> {
    match rule {
        Rule::Only(allowed) if !allowed.contains(&name) => {
            let allowed = if allowed.is_empty() { "nothing".to_owned() } else { allowed.join(", ") };
            Some(format!("may depend on {allowed}; `{name}` must go"))
        }
        Rule::Own(allowed, _) if name.starts_with("remuda-") && !allowed.contains(&name) => Some(format!(
            "of our own crates it may import {}; `{name}` must go",
            if allowed.is_empty() { "none".to_owned() } else { allowed.join(", ") }
        )),
        Rule::Own(_, never) => {
            let is_refused = never.iter().any(|refused| name == *refused || name.starts_with(&format!("{refused}-")));
            is_refused.then(|| format!("never imports `{name}`"))
        }
        Rule::Only(_) => None,
    }
}

/// Line and name of what stands under `[dependencies]` and `[target.….dependencies]`; what only tests or builds use is free.
fn dependencies(manifest: &str) -> Vec<(usize, &str)> {
    let mut names = Vec::new();
    let mut is_inside = false;
    for (index, line) in manifest.lines().map(str::trim).enumerate() {
        if line.starts_with('[') {
            let section = line.trim_matches(['[', ']']);
            is_inside =
                section == "dependencies" || (section.starts_with("target.") && section.ends_with(".dependencies"));
            // `[dependencies.name]`
            if let Some(name) = section.strip_prefix("dependencies.") {
                names.push((index + 1, name));
            }
        } else if is_inside && !line.starts_with('#') {
            let name = line.split(['=', '.', ' ']).next().unwrap_or_default();
            if !name.is_empty() {
                names.push((index + 1, name));
            }
        }
    }
    names
}

/// Findings in one source file; its test module may do as it likes.
pub fn uses(source: &Source) -> Vec<Finding> {
    let modules = MODULES.iter().filter(|module| module.paths.iter().any(|path| covers(path, &source.path)));
    modules.flat_map(|module| refused(module, source)).collect()
}

fn covers(module: &str, path: &str) -> bool {
    let rest = path.strip_prefix(module);
    rest.is_some_and(|rest| module.ends_with('/') || rest == ".rs" || rest.starts_with('/'))
}

fn refused(module: &Module, source: &Source) -> Vec<Finding> {
    let imports = use_paths(&source.code);
    let mut findings = Vec::new();
    for name in module.never {
        let written = word_positions(&source.code, name).into_iter().filter(|&at| is_path(&source.code, at, name));
        let grouped = imports.iter().filter(|(_, path)| begins_with(path, name)).map(|(at, _)| *at);
        let mut lines: Vec<usize> = written.chain(grouped).map(|at| line_of(&source.code, at)).collect();
        lines.sort_unstable();
        lines.dedup();
        findings.extend(lines.into_iter().filter(|line| *line < source.tests_from).map(|line| Finding {
            file: source.path.clone(),
            line,
            rule: "import table (DESIGN.md, 2)",
            what_to_do: format!("`{name}` may not be used here: {}", module.instead),
        }));
    }
    findings
}

fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

fn begins_with(path: &str, name: &str) -> bool {
    path.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Every path that a `use` names, groups taken apart, with where its last segment stands.
fn use_paths(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for start in word_positions(code, "use") {
        let tree = start + "use".len();
        let end = code[tree..].find(';').map_or(code.len(), |len| tree + len);
        take_apart(code, tree, end, "", &mut found);
    }
    found
}

/// One `use` tree from `at` to `end`: a path, or a prefix with a group in braces.
fn take_apart(code: &str, at: usize, end: usize, prefix: &str, found: &mut Vec<(usize, String)>) {
    let tree = &code[at..end];
    let Some(open) = tree.find('{') else {
        let path = tree.split(" as ").next().unwrap_or_default();
        found.push((at + (tree.len() - tree.trim_start().len()), format!("{prefix}{}", path.trim())));
        return;
    };
    let prefix = format!("{prefix}{}", tree[..open].trim());
    let (mut depth, mut start) = (0, at + open + 1);
    for (offset, byte) in tree.bytes().enumerate().skip(open + 1) {
        match byte {
            b'{' => depth += 1,
            b',' if depth == 0 => {
                take_apart(code, start, at + offset, &prefix, found);
                start = at + offset + 1;
            }
            b'}' if depth == 0 => return take_apart(code, start, at + offset, &prefix, found),
            b'}' => depth -= 1,
            _ => {}
        }
    }
}

/// A crate's name counts where a path begins (`tokio::…`, `use tokio;`), not as a field or local of the same name.
fn is_path(code: &str, at: usize, name: &str) -> bool {
    if name.contains("::") || name.starts_with(char::is_uppercase) {
        return true;
    }
    let is_root = !code[..at].ends_with("::") && !code[..at].ends_with('.');
    let after = &code[at + name.len()..];
    is_root && (after.starts_with("::") || (code[..at].ends_with("use ") && after.starts_with(';')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_in_the_plan_is_found_with_its_line() {
        let source = Source::new("agent/src/plan.rs".into(), "use std::time::Instant;\nfn now() { Instant::now(); }\n");
        assert_eq!(uses(&source).iter().map(|finding| finding.line).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn the_same_words_elsewhere_or_in_a_comment_are_fine() {
        assert!(uses(&Source::new("agent/src/plan.rs".into(), "// tokio::spawn\nfn f() {}\n")).is_empty());
        assert!(uses(&Source::new("agent/src/planner.rs".into(), "use tokio::spawn;\n")).is_empty());
        assert!(uses(&Source::new("agent/src/source.rs".into(), "use tokio::spawn;\n")).is_empty());
    }

    #[test]
    fn a_module_inside_a_group_is_found_on_its_own_line() {
        let text = "use crate::{\n    state::State,\n    store::{self, Store},\n};\n";
        let source = Source::new("orchestrator/src/place.rs".into(), text);
        assert_eq!(uses(&source).iter().map(|finding| finding.line).collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn tests_below_the_test_module_may_use_what_they_like() {
        let text = "fn f() {}\n#[cfg(test)]\nmod tests {\n  use rand::random;\n}\n";
        assert!(uses(&Source::new("agent/src/plan/mod.rs".into(), text)).is_empty());
    }

    #[test]
    fn abi_may_depend_on_nothing_and_orchestrator_not_on_the_agent() {
        assert!(refuse(&Rule::Only(&[]), "serde").is_some());
        assert!(refuse(&Rule::Own(&["remuda-api"], &[]), "remuda-agent").is_some());
        assert!(refuse(&Rule::Own(&["remuda-api"], &["tonic"]), "tonic-prost").is_some());
        assert!(refuse(&Rule::Own(&["remuda-api"], &["tonic"]), "serde").is_none());
    }

    #[test]
    fn only_what_the_product_links_is_a_dependency() {
        let manifest = "[package]\nname = \"x\"\n[dependencies]\nserde.workspace = true\naya = { version = \"1\" }\n[dev-dependencies]\nproptest.workspace = true\n";
        assert_eq!(dependencies(manifest), [(4, "serde"), (5, "aya")]);
    }
}
