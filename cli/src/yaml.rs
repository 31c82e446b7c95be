//! JSON values printed as YAML for people to read.

use serde_json::Value;

/// The value as a YAML document.
pub fn print(value: &Value) -> String {
    let mut text = String::new();
    block(value, 0, &mut text);
    text
}

fn block(value: &Value, depth: usize, text: &mut String) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (key, value) in fields {
                indent(depth, text);
                text.push_str(&scalar(&Value::String(key.clone())));
                text.push(':');
                nested(value, depth + 1, text);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                indent(depth, text);
                text.push('-');
                item_of(item, depth, text);
            }
        }
        other => text.push_str(&format!("{}\n", scalar(other))),
    }
}

fn nested(value: &Value, depth: usize, text: &mut String) {
    if has_lines(value) {
        text.push('\n');
        block(value, depth, text);
    } else {
        text.push_str(&format!(" {}\n", scalar(value)));
    }
}

/// An item begins on the line of its dash.
fn item_of(item: &Value, depth: usize, text: &mut String) {
    match item {
        Value::Object(fields) if !fields.is_empty() => {
            let mut inner = String::new();
            block(item, depth + 1, &mut inner);
            text.push(' ');
            text.push_str(inner.trim_start());
        }
        Value::Array(_) => text.push_str(&format!(" {item}\n")),
        other => text.push_str(&format!(" {}\n", scalar(other))),
    }
}

/// It takes lines of its own.
fn has_lines(value: &Value) -> bool {
    match value {
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    }
}

fn indent(depth: usize, text: &mut String) {
    text.push_str(&"  ".repeat(depth));
}

/// Strings stay bare where YAML could not read anything else into them; JSON's quoting is YAML's too.
fn scalar(value: &Value) -> String {
    match value {
        Value::String(word) if is_bare(word) => word.clone(),
        other => other.to_string(),
    }
}

fn is_bare(word: &str) -> bool {
    const MEANING: [&str; 8] = ["null", "true", "false", "yes", "no", "on", "off", "y"];
    let begins_plainly = word.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'/' || b == b'_');
    let is_plain = word.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-./".contains(&b));
    begins_plainly
        && is_plain
        && !MEANING.contains(&word.to_ascii_lowercase().as_str())
        && !word.eq_ignore_ascii_case("n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn objects_lists_and_scalars_nest() {
        let value = json!({"name": "shop", "services": {"web": {"command": ["nginx", "-g"], "ports": [{"target": 80, "mode": "ingress"}]}}});
        let expected = "name: shop
services:
  web:
    command:
      - nginx
      - \"-g\"
    ports:
      - target: 80
        mode: ingress
";
        assert_eq!(print(&value), expected);
    }

    #[test]
    fn what_is_empty_stays_on_the_line_of_its_key() {
        let value =
            json!({"a": null, "b": [], "c": {}, "d": {"e": null}, "f": 0, "g": "", "h": [{}, [], [1, {"i": "j"}]]});
        let expected =
            "a: null\nb: []\nc: {}\nd:\n  e: null\nf: 0\ng: \"\"\nh:\n  - {}\n  - []\n  - [1,{\"i\":\"j\"}]\n";
        assert_eq!(print(&value), expected);
        assert_eq!(print(&json!({})), "{}\n");
    }

    #[test]
    fn words_that_yaml_would_misread_are_quoted() {
        for word in ["yes", "No", "1.5", "1e3", "~", "a: b", "# c", "- d", "", "null", "n", "0x10", "a\nb"] {
            assert!(!is_bare(word), "{word}");
        }
        assert!(is_bare("/usr/sbin/nginx") && is_bare("redis-6.2"));
    }
}
