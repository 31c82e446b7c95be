//! Files of `NAME=value` lines, such as `.env`: [`parse`].

use std::collections::{BTreeMap, BTreeSet};

use crate::interpolate;
use crate::problem::shown;

/// Most faults kept of one file; more are not read by anyone.
const FAULTS_MAX: usize = 20;

/// How values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// As Compose has it: quotes, comments, `${VAR}`.
    Compose,
    /// All behind the `=`, as it is.
    Raw,
}

/// What a file holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// In the order of the file; a name without `=` has no value.
    pub pairs: Vec<(String, Option<String>)>,
    pub faults: Vec<Fault>,
    /// Variables in values that are not set anywhere; empty text stands for them.
    pub unset: BTreeSet<String>,
}

/// A line that is none of `NAME=value`.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    /// From 1.
    pub line: usize,
    /// What is wrong and what to write.
    pub message: String,
}

/// Reads `text`; `${VAR}` in values looks into `env`, then into the lines before. Values together may hold `max_bytes`.
///
/// `export NAME=value`, `NAME: value` and comments with `#` are read. Values are bare, in single quotes (as they are) or
/// in double quotes (`\n`, `\t`, `\"`, `\\`, `\$`); quoted ones may go over several lines.
pub fn parse(text: &str, style: Style, env: &BTreeMap<String, String>, max_bytes: usize) -> Parsed {
    let mut bytes_left = max_bytes;
    let mut parsed = Parsed::default();
    let mut known = BTreeMap::new();
    let mut rest = text.trim_start_matches('\u{FEFF}');
    let mut line = 1;
    while !rest.is_empty() && parsed.faults.len() < FAULTS_MAX {
        let end = rest.find('\n').map_or(rest.len(), |at| at + 1);
        let (first, mut after) = rest.split_at(end);
        let at_line = line;
        match one(first, after, style) {
            Ok(None) => {}
            Ok(Some(pair)) => {
                after = pair.after;
                match pair.value.map(|value| value.expand(env, &known, bytes_left, &mut parsed.unset)).transpose() {
                    Ok(value) => {
                        let len = pair.name.len() + value.as_ref().map_or(0, String::len);
                        bytes_left = bytes_left.saturating_sub(len);
                        known.insert(pair.name.to_owned(), value.clone().unwrap_or_default());
                        parsed.pairs.push((pair.name.to_owned(), value));
                    }
                    Err(message) => parsed.faults.push(Fault { line: at_line, message }),
                }
            }
            Err(message) => parsed.faults.push(Fault { line: at_line, message }),
        }
        line += rest[..rest.len() - after.len()].matches('\n').count();
        rest = after;
    }
    parsed
}

struct Pair<'t> {
    name: &'t str,
    value: Option<Raw>,
    /// The text behind the value's last line.
    after: &'t str,
}

/// A value whose variables are not replaced yet.
enum Raw {
    AsItIs(String),
    /// May hold variables.
    Text(String),
}

impl Raw {
    fn expand(
        self,
        env: &BTreeMap<String, String>,
        known: &BTreeMap<String, String>,
        max_bytes: usize,
        unset: &mut BTreeSet<String>,
    ) -> Result<String, String> {
        let text = match self {
            Self::AsItIs(text) => return Ok(text),
            Self::Text(text) if !text.contains('$') => return Ok(text),
            Self::Text(text) => text,
        };
        let expanded = interpolate::expand(&text, &|name| env.get(name).or_else(|| known.get(name)), max_bytes)?;
        unset.extend(expanded.unset);
        Ok(expanded.text)
    }
}

/// The pair that begins in `line`; a quoted value may go on in `after`.
fn one<'t>(line: &'t str, after: &'t str, style: Style) -> Result<Option<Pair<'t>>, String> {
    let content = line.trim();
    if content.is_empty() || content.starts_with('#') {
        return Ok(None);
    }
    let content = content.strip_prefix("export ").unwrap_or(content).trim_start();
    let end = content.find(['=', ':']).unwrap_or(content.len());
    let name = content[..end].trim_end();
    let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-[]".contains(&b));
    if !is_name {
        return Err(format!("{} is no pair: write `NAME=value`, one a line; `#` begins a comment", shown(content)));
    }
    if end == content.len() {
        return Ok(Some(Pair { name, value: None, after }));
    }
    let value = content[end + 1..].trim_start();
    if style == Style::Raw {
        return Ok(Some(Pair { name, value: Some(Raw::AsItIs(content[end + 1..].to_owned())), after }));
    }
    match value.chars().next() {
        Some(quote @ ('\'' | '"')) => {
            let (value, after) = quoted(quote, line, after)?;
            Ok(Some(Pair { name, value: Some(value), after }))
        }
        _ => {
            let end = value.find(" #").unwrap_or(value.len());
            let value = if value.starts_with('#') { "" } else { value[..end].trim_end() };
            Ok(Some(Pair { name, value: Some(Raw::Text(value.to_owned())), after }))
        }
    }
}

/// The quoted value of `line`, whose first quote opens it, and the text behind its last line.
fn quoted<'t>(quote: char, line: &'t str, after: &'t str) -> Result<(Raw, &'t str), String> {
    let mut value = String::new();
    let mut rest = line.split_once(quote).map_or("", |(_, rest)| rest);
    let mut after = after;
    loop {
        let mut chars = rest.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                c if c == quote => return closed(quote, value, &rest[at + 1..], after),
                '\\' if quote == '"' => match chars.next().map(|(_, c)| c) {
                    Some('n') => value.push('\n'),
                    Some('t') => value.push('\t'),
                    Some('r') => value.push('\r'),
                    // A dollar that is no variable, for the step that replaces them.
                    Some('$') => value.push_str("$$"),
                    Some(other) => value.push(other),
                    None => {}
                },
                c => value.push(c),
            }
        }
        if after.is_empty() {
            return Err("a quote is not closed: close it".to_owned());
        }
        let end = after.find('\n').map_or(after.len(), |at| at + 1);
        (rest, after) = after.split_at(end);
    }
}

fn closed<'t>(quote: char, value: String, behind: &str, after: &'t str) -> Result<(Raw, &'t str), String> {
    let behind = behind.trim();
    if !behind.is_empty() && !behind.starts_with('#') {
        return Err(format!("{} stands behind the closing quote: remove it, or quote all of it", shown(behind)));
    }
    let raw = if quote == '"' { Raw::Text(value) } else { Raw::AsItIs(value) };
    Ok((raw, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_BYTES: usize = 1_000;

    fn pairs(text: &str) -> Vec<(String, String)> {
        let env = BTreeMap::from([("SET".to_owned(), "outside".to_owned())]);
        let parsed = parse(text, Style::Compose, &env, MAX_BYTES);
        assert_eq!(parsed.faults, []);
        parsed.pairs.into_iter().map(|(name, value)| (name, value.unwrap_or("(none)".into()))).collect()
    }

    #[test]
    fn every_way_of_writing_a_value_is_read() {
        let text = "\u{FEFF}# c\n\nA=1\r\nexport B = two words # note\nC='a # $B'\nD=\"x\\n\\\"y\\\"\" # z\nE=\nF=a#b\nG: yaml\nH\nI=$SET ${A} ${NO:-d}\nJ=\"\\$A $A\"\nK='two\nlines'\nL=#\n";
        let expected = [
            ("A", "1"),
            ("B", "two words"),
            ("C", "a # $B"),
            ("D", "x\n\"y\""),
            ("E", ""),
            ("F", "a#b"),
            ("G", "yaml"),
            ("H", "(none)"),
            ("I", "outside 1 d"),
            ("J", "$A 1"),
            ("K", "two\nlines"),
            ("L", ""),
        ];
        assert_eq!(pairs(text), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn raw_values_are_taken_as_they_are() {
        let parsed = parse("A='x' # $B\n# c\nB\n", Style::Raw, &BTreeMap::new(), MAX_BYTES);
        let expected = [("A".to_owned(), Some("'x' # $B".to_owned())), ("B".to_owned(), None)];
        assert_eq!(parsed.pairs, expected);
    }

    #[test]
    fn values_that_grow_from_line_to_line_end_at_the_limit() {
        let text: String = (1..100).map(|n| format!("K{n}=${{K{}}}${{K{}}}x\n", n - 1, n - 1)).collect();
        let parsed = parse(&text, Style::Compose, &BTreeMap::new(), MAX_BYTES);
        assert!(parsed.pairs.iter().all(|(_, value)| value.as_ref().is_some_and(|value| value.len() < MAX_BYTES)));
        assert_eq!(parsed.faults.len(), FAULTS_MAX);
    }

    #[test]
    fn lines_that_are_no_pair_are_all_named() {
        let text = "A=1\nnon sense\n=x\nB='two\nlines' x\nC=$\nD=\"open\n\n";
        let parsed = parse(text, Style::Compose, &BTreeMap::new(), MAX_BYTES);
        assert_eq!(parsed.faults.iter().map(|fault| fault.line).collect::<Vec<_>>(), [2, 3, 4, 5, 6, 7]);
    }
}
