//! A `.env` file beside the Compose file: the values of `${VAR}`.

use std::collections::BTreeMap;

/// The pairs in it, or the numbers of the lines that are none.
///
/// As Compose reads it: `KEY=value`, `export KEY=value`, comments with `#`, values bare, in single quotes (literal)
/// or double quotes (`\n`, `\t`, `\"`, `\\`).
pub fn parse(text: &str) -> Result<BTreeMap<String, String>, Vec<usize>> {
    let mut pairs = BTreeMap::new();
    let mut wrong = Vec::new();
    for (index, line) in text.trim_start_matches('\u{FEFF}').lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match pair(line.strip_prefix("export ").unwrap_or(line)) {
            Some((key, value)) => drop(pairs.insert(key, value)),
            None => wrong.push(index + 1),
        }
    }
    if wrong.is_empty() { Ok(pairs) } else { Err(wrong) }
}

fn pair(line: &str) -> Option<(String, String)> {
    let (key, value) = line.split_once('=')?;
    let key = key.trim();
    let is_name = key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.' || b == b'-');
    if key.is_empty() || !is_name {
        return None;
    }
    Some((key.to_owned(), value_of(value.trim())?))
}

fn value_of(text: &str) -> Option<String> {
    match text.chars().next() {
        Some('\'') => text[1..].split_once('\'').map(|(value, _)| value.to_owned()),
        Some('"') => double_quoted(&text[1..]),
        _ => {
            let end = text.find(" #").unwrap_or(text.len());
            Some(text[..end].trim_end().to_owned())
        }
    }
}

fn double_quoted(text: &str) -> Option<String> {
    let mut value = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next()? {
            '"' => return Some(value),
            '\\' => match chars.next()? {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                'r' => value.push('\r'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_of_writing_a_value_is_read() {
        let text = "# c\n\nA=1\nexport B = two words # note\nC='a # b'\nD=\"x\\n\\\"y\\\"\"\nE=\nF=a#b\n";
        let pairs = parse(text).unwrap();
        let expected = [("A", "1"), ("B", "two words"), ("C", "a # b"), ("D", "x\n\"y\""), ("E", ""), ("F", "a#b")];
        assert_eq!(pairs, expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
    }

    #[test]
    fn lines_that_are_no_pair_are_all_named() {
        assert_eq!(parse("A=1\nnonsense\n=x\nB='open\nC=\"open"), Err(vec![2, 3, 4, 5]));
    }
}
