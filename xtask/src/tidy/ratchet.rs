//! Nothing small grows into something large unnoticed: today's large ones are listed, and may only shrink.

use super::Finding;
use super::source::Source;
use crate::cargo;
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;

/// Lines of a file from which on it must be listed.
const FILE_LINES: usize = 400;
/// Lines of a function from which on it must be listed.
const FUNCTION_LINES: usize = 70;
const LIST: &str = "xtask/ratchet.toml";

/// What is large, and how large it may be: `path` or `path::function` to lines.
#[derive(Default, Debug, PartialEq, Eq)]
struct Listed {
    files: BTreeMap<String, usize>,
    functions: BTreeMap<String, usize>,
}

/// What is larger than the limit and than the list allows.
pub fn check(sources: &[Source]) -> Result<Vec<Finding>> {
    let text = fs::read_to_string(cargo::at(LIST)).unwrap_or_default();
    let listed = parse(&text).with_context(|| format!("reading {LIST}"))?;
    Ok(compare(sources, &listed))
}

/// Writes today's large files and functions to the list.
pub fn bless(sources: &[Source]) -> Result<()> {
    let mut listed = Listed::default();
    for source in sources {
        if source.line_count > FILE_LINES {
            listed.files.insert(source.path.clone(), source.line_count);
        }
        for (key, _, line_count) in large_functions(source) {
            listed.functions.insert(key, line_count);
        }
    }
    fs::write(cargo::at(LIST), print(&listed))?;
    println!("{LIST}: {} files, {} functions", listed.files.len(), listed.functions.len());
    Ok(())
}

fn compare(sources: &[Source], listed: &Listed) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources {
        let allowed = listed.files.get(&source.path).copied().unwrap_or(FILE_LINES);
        if source.line_count > allowed {
            findings.push(Finding {
                file: source.path.clone(),
                line: source.line_count,
                rule: "files stay short",
                what_to_do: format!("{} lines, {allowed} allowed: split it by question, or `cargo xtask tidy --bless` and say why in the commit", source.line_count),
            });
        }
        for (key, line, line_count) in large_functions(source) {
            let allowed = listed.functions.get(&key).copied().unwrap_or(FUNCTION_LINES);
            if line_count > allowed {
                findings.push(Finding {
                    file: source.path.clone(),
                    line,
                    rule: "a function fits a screen",
                    what_to_do: format!(
                        "{key} has {line_count} lines, {allowed} allowed: take a decision or a step out of it"
                    ),
                });
            }
        }
    }
    findings
}

/// Key, line and length; of several with one name the longest, since names are what the list knows.
fn large_functions(source: &Source) -> Vec<(String, usize, usize)> {
    let mut large = BTreeMap::<String, (usize, usize)>::new();
    for function in source.functions().into_iter().filter(|function| function.line_count > FUNCTION_LINES) {
        let entry = large.entry(format!("{}::{}", source.path, function.name)).or_default();
        if function.line_count > entry.1 {
            *entry = (function.line, function.line_count);
        }
    }
    large.into_iter().map(|(key, (line, line_count))| (key, line, line_count)).collect()
}

fn parse(text: &str) -> Result<Listed> {
    let mut listed = Listed::default();
    let mut is_functions = false;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        match line {
            "" => {}
            "[files]" => is_functions = false,
            "[functions]" => is_functions = true,
            comment if comment.starts_with('#') => {}
            entry => {
                let Some((key, count)) = entry.split_once('=') else {
                    bail!("line {}: expected \"path\" = lines", index + 1)
                };
                let count = count.trim().parse().with_context(|| format!("line {}: not a number", index + 1))?;
                let map = if is_functions { &mut listed.functions } else { &mut listed.files };
                map.insert(key.trim().trim_matches('"').to_owned(), count);
            }
        }
    }
    Ok(listed)
}

fn print(listed: &Listed) -> String {
    let mut text = String::from(
        "# Files above 400 lines and functions above 70: they may shrink, not grow.\n# Written by `cargo xtask tidy --bless`.\n",
    );
    for (title, map) in [("files", &listed.files), ("functions", &listed.functions)] {
        let _ = writeln!(text, "\n[{title}]");
        for (key, count) in map {
            let _ = writeln!(text, "\"{key}\" = {count}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_of(line_count: usize) -> Source {
        Source::new("a.rs".into(), &"\n".repeat(line_count))
    }

    #[test]
    fn a_listed_file_may_stay_and_shrink_but_not_grow() {
        let listed = parse("[files]\n\"a.rs\" = 500\n").unwrap();
        assert!(compare(&[file_of(500)], &listed).is_empty());
        assert!(compare(&[file_of(450)], &listed).is_empty());
        assert_eq!(compare(&[file_of(501)], &listed).len(), 1);
    }

    #[test]
    fn an_unlisted_file_may_have_400_lines() {
        assert!(compare(&[file_of(400)], &Listed::default()).is_empty());
        assert_eq!(compare(&[file_of(401)], &Listed::default()).len(), 1);
    }

    #[test]
    fn the_list_reads_back_what_it_wrote() {
        let mut listed = Listed::default();
        listed.files.insert("a.rs".into(), 401);
        listed.functions.insert("a.rs::f".into(), 71);
        assert_eq!(parse(&print(&listed)).unwrap(), listed);
    }
}
