//! Rust files as the rules see them: code with comments and literals blanked, and where functions begin and end.

use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

pub struct Source {
    /// From the root of the checkout, with `/`.
    pub path: String,
    pub line_count: usize,
    /// The text with comments, strings and characters replaced by spaces; same lines.
    pub code: String,
    /// Line (from 1) from which on everything is `#[cfg(test)] mod …`; tests close a file in this house.
    pub tests_from: usize,
}

pub struct Function {
    pub name: String,
    /// Line of `fn`, from 1.
    pub line: usize,
    pub line_count: usize,
}

/// Every Rust file of the checkout.
pub fn all(root: &Path) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    collect(root, root, &mut sources)?;
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(sources)
}

fn collect(root: &Path, directory: &Path, sources: &mut Vec<Source>) -> Result<()> {
    for entry in fs::read_dir(directory).with_context(|| format!("listing {}", directory.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && !name.starts_with('.') && !name.starts_with("target") {
            collect(root, &path, sources)?;
        } else if name.ends_with(".rs") {
            let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            let path = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            sources.push(Source::new(path, &text));
        }
    }
    Ok(())
}

impl Source {
    pub fn new(path: String, text: &str) -> Self {
        let code = blank(text);
        let lines: Vec<&str> = code.lines().collect();
        let is_tests = |line: usize| {
            let next = lines.get(line + 1..).unwrap_or_default().iter().find(|line| !line.trim().starts_with("#["));
            lines[line].trim() == "#[cfg(test)]" && next.is_some_and(|next| next.trim().starts_with("mod "))
        };
        let tests_from = (0..lines.len()).find(|&line| is_tests(line)).map_or(usize::MAX, |line| line + 1);
        Self { path, line_count: lines.len(), tests_from, code }
    }

    /// Functions with a body, nested ones included.
    pub fn functions(&self) -> Vec<Function> {
        let bytes = self.code.as_bytes();
        let starts = word_positions(&self.code, "fn");
        starts.into_iter().filter_map(|start| function_at(bytes, &self.code, start)).collect()
    }
}

fn function_at(bytes: &[u8], code: &str, start: usize) -> Option<Function> {
    let name: String =
        code[start + 2..].trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    if name.is_empty() {
        return None; // the type `fn(…)`
    }
    let mut depth = 0usize;
    let mut brackets = 0usize;
    for (offset, byte) in bytes[start..].iter().enumerate() {
        match byte {
            b'(' | b'[' => brackets += 1,
            b')' | b']' => brackets = brackets.saturating_sub(1),
            b';' if depth == 0 && brackets == 0 => return None, // declared, not defined
            b'{' => depth += 1,
            b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    let line_count = count_lines(&bytes[start..start + offset]) + 1;
                    return Some(Function { name, line: count_lines(&bytes[..start]) + 1, line_count });
                }
            }
            _ => {}
        }
    }
    None
}

fn count_lines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&byte| byte == b'\n').count()
}

/// Where `word` stands alone in `code`.
pub fn word_positions(code: &str, word: &str) -> Vec<usize> {
    let is_word = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let bytes = code.as_bytes();
    let stands_alone = |&at: &usize| (at == 0 || !is_word(bytes.get(at - 1))) && !is_word(bytes.get(at + word.len()));
    code.match_indices(word).map(|(at, _)| at).filter(stands_alone).collect()
}

/// `text` with comments, strings and character literals as spaces; line ends stay.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let len = literal_len(&bytes[at..]);
        for byte in &mut out[at..(at + len).min(bytes.len())] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at += len.max(1);
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Length of the comment or literal that begins here, 0 for code.
fn literal_len(rest: &[u8]) -> usize {
    let until = |from: usize, end: &[u8]| {
        let found = rest[from..].windows(end.len()).position(|window| window == end);
        found.map_or(rest.len(), |position| from + position + end.len())
    };
    match rest {
        [b'/', b'/', ..] => rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len()),
        [b'/', b'*', ..] => until(2, b"*/"),
        [b'"', ..] => quoted_len(rest),
        [b'r', b'"', ..] => until(2, b"\""),
        [b'r', b'#', ..] => {
            let hashes = rest[1..].iter().take_while(|&&byte| byte == b'#').count();
            if rest.get(1 + hashes) != Some(&b'"') {
                return 0; // a raw identifier
            }
            let end: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
            until(2 + hashes, &end)
        }
        [b'\'', b'\\', _, ..] => until(3, b"'"),
        [b'\'', _, b'\'', ..] => 3,
        [b'\'', first, ..] if *first >= 0x80 => until(1, b"'"),
        _ => 0,
    }
}

fn quoted_len(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_in_strings_and_comments_are_not_code() {
        let source = Source::new("x.rs".into(), "fn one() {\n  let a = \"}\"; // }\n  let b = '}';\n}\nfn two() {}\n");
        let functions = source.functions();
        assert_eq!(
            functions.iter().map(|f| (f.name.as_str(), f.line, f.line_count)).collect::<Vec<_>>(),
            [("one", 1, 4), ("two", 5, 1)]
        );
    }

    #[test]
    fn a_declaration_and_a_function_type_have_no_body() {
        let source = Source::new("x.rs".into(), "trait T { fn data(&self) -> [u8; 4]; }\ntype F = fn(u8) -> u8;\n");
        assert!(source.functions().is_empty());
    }

    #[test]
    fn lifetimes_are_code_and_raw_strings_are_not() {
        let source =
            Source::new("x.rs".into(), "fn f<'a>(x: &'a str) -> &'a str { x }\nconst S: &str = r#\"fn g() {\"#;\n");
        assert_eq!(source.functions().len(), 1);
    }

    #[test]
    fn tests_begin_where_the_test_module_does() {
        let source = Source::new("x.rs".into(), "fn f() {}\n#[cfg(test)]\nmod tests {\n}\n");
        assert_eq!(source.tests_from, 2);
    }
}
