//! `command` and `entrypoint`: a list of arguments, or one line split as a shell would.

use crate::field::Field;
use crate::report::Report;
use crate::value::Value;

/// None when nothing is said: the image's own. An empty list or text is an empty list.
pub(crate) fn read(field: &Field, report: &mut Report) -> Option<Vec<String>> {
    match &field.node.value {
        Value::Null | Value::Broken => None,
        Value::Text { text, .. } => match split(text) {
            Ok(words) => checked(field, words, report),
            Err(message) => {
                field.problem(message, report);
                None
            }
        },
        Value::List(_) | Value::Map(_) => {
            let items = field.items("a list of arguments, or one line of text", report);
            let words = items.iter().filter_map(|item| item.text("an argument (text)", report).map(str::to_owned));
            let words = words.collect();
            checked(field, words, report)
        }
    }
}

fn checked(field: &Field, words: Vec<String>, report: &mut Report) -> Option<Vec<String>> {
    if words.iter().any(|word| word.contains('\0')) {
        field.problem("an argument cannot hold a zero byte: remove it", report);
        return None;
    }
    Some(words)
}

/// Splits at blanks; quotes keep blanks, a backslash keeps the next character (in double quotes only `"` and `\`).
fn split(line: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (Some(open), c) if c == open => quote = None,
            (None, '\\') => {
                let escaped = chars.next().ok_or("a backslash ends the line: remove it, or write two")?;
                word.get_or_insert_default().push(escaped);
            }
            (Some('"'), '\\') => {
                let escaped = chars.next_if(|next| matches!(next, '"' | '\\'));
                word.get_or_insert_default().push(escaped.unwrap_or('\\'));
            }
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed: close it, or write the command as a list");
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_split_as_a_shell_would() {
        for (line, words) in [
            ("", vec![]),
            ("  nginx  -g 'daemon off;' ", vec!["nginx", "-g", "daemon off;"]),
            (r#"sh -c "echo \"$A\" \n" x\ y ''"#, vec!["sh", "-c", r#"echo "$A" \n"#, "x y", ""]),
            ("a'b'\"c\"d", vec!["abcd"]),
        ] {
            assert_eq!(split(line).expect(line), words);
        }
    }

    #[test]
    fn open_quotes_and_a_last_backslash_are_refused() {
        assert!(split("echo 'a").is_err());
        assert!(split("echo \"a").is_err());
        assert!(split("echo \\").is_err());
    }
}
