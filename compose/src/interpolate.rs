//! `${VAR}` in values, by Compose's rules: [`expand`].

use std::collections::BTreeSet;

use crate::limits::INTERPOLATION_DEPTH_MAX;
use crate::problem::{plain_shown, shown};

/// A value with its variables replaced.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Expanded {
    pub text: String,
    /// Variables that are not set and have no default; empty text stands for them.
    pub unset: BTreeSet<String>,
}

/// Replaces `$V`, `${V}`, `${V:-default}`, `${V-default}`, `${V:?message}`, `${V?message}`, `${V:+other}`, `${V+other}`;
/// defaults may hold variables again. `$$` is a dollar. With `:` an empty value counts as not set.
///
/// Errors with a message when the form is wrong, a required variable is missing, or the text would exceed `max_bytes`.
pub(crate) fn expand(text: &str, look_up: LookUp, max_bytes: usize) -> Result<Expanded, String> {
    let mut expander = Expander { look_up, max_bytes, unset: BTreeSet::new() };
    let text = expander.text(text, 0)?;
    Ok(Expanded { text, unset: expander.unset })
}

/// The value of a variable.
pub(crate) type LookUp<'a> = &'a dyn Fn(&str) -> Option<&'a String>;

struct Expander<'a> {
    look_up: LookUp<'a>,
    max_bytes: usize,
    unset: BTreeSet<String>,
}

impl Expander<'_> {
    fn text(&mut self, text: &str, depth: u32) -> Result<String, String> {
        if depth > INTERPOLATION_DEPTH_MAX {
            return Err(format!("more than {INTERPOLATION_DEPTH_MAX} variables inside each other: use fewer"));
        }
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            self.push(&mut out, before)?;
            rest = self.variable(after, depth, &mut out)?;
        }
        self.push(&mut out, rest)?;
        Ok(out)
    }

    /// Replaces what follows a dollar; returns the text behind it.
    fn variable<'t>(&mut self, after: &'t str, depth: u32, out: &mut String) -> Result<&'t str, String> {
        if let Some(rest) = after.strip_prefix('$') {
            self.push(out, "$")?;
            return Ok(rest);
        }
        if let Some(braced) = after.strip_prefix('{') {
            let end =
                closing_brace(braced).ok_or_else(|| format!("{} has no closing brace", shown(&format!("${after}"))))?;
            let value = self.braced(&braced[..end], depth)?;
            self.push(out, &value)?;
            return Ok(&braced[end + 1..]);
        }
        match name_len(after) {
            0 => Err("a single `$` must be followed by a variable name: write `$$` for a dollar".to_owned()),
            len => {
                let value = self.plain(&after[..len]);
                self.push(out, &value)?;
                Ok(&after[len..])
            }
        }
    }

    fn braced(&mut self, inner: &str, depth: u32) -> Result<String, String> {
        let (name, operation) = inner.split_at(name_len(inner));
        if name.is_empty() {
            return Err(format!("{} holds no variable name", shown(&format!("${{{inner}}}"))));
        }
        let (empty_is_unset, operation) = match operation.strip_prefix(':') {
            Some(rest) => (true, rest),
            None => (false, operation),
        };
        let set = (self.look_up)(name).filter(|value| !(empty_is_unset && value.is_empty()));
        let mut operands = operation.chars();
        match (operands.next(), set) {
            (None, _) if !empty_is_unset => Ok(self.plain(name)),
            (Some('-' | '?'), Some(value)) => Ok(value.clone()),
            (Some('-'), None) | (Some('+'), Some(_)) => self.text(operands.as_str(), depth + 1),
            (Some('+'), None) => Ok(String::new()),
            (Some('?'), None) => Err(self.missing(name, operands.as_str(), depth)?),
            _ => Err(format!(
                "{} is no form we know: expected `${{NAME}}`, or `-`, `?`, `+` (with or without `:`) after the name",
                shown(&format!("${{{inner}}}"))
            )),
        }
    }

    fn missing(&mut self, name: &str, message: &str, depth: u32) -> Result<String, String> {
        let message = self.text(message, depth + 1)?;
        Ok(match message.as_str() {
            "" => format!("variable {} is required and not set: set it", shown(name)),
            text => format!("variable {} is required: {}", shown(name), plain_shown(text)),
        })
    }

    fn plain(&mut self, name: &str) -> String {
        match (self.look_up)(name) {
            Some(value) => value.clone(),
            None => {
                self.unset.insert(name.to_owned());
                String::new()
            }
        }
    }

    fn push(&self, out: &mut String, text: &str) -> Result<(), String> {
        if out.len() + text.len() > self.max_bytes {
            return Err("its variables make the file too large: use shorter values".to_owned());
        }
        out.push_str(text);
        Ok(())
    }
}

/// Length of the variable name `text` begins with: a letter or `_`, then letters, digits, `_`.
fn name_len(text: &str) -> usize {
    match text.bytes().next() {
        Some(first) if !first.is_ascii_digit() => {
            text.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count()
        }
        _ => 0,
    }
}

/// Where the brace that was open before `text` closes; `${` inside opens another, `$$` does not.
fn closing_brace(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut open = 1;
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], bytes.get(at + 1)) {
            (b'$', Some(b'$')) => at += 1,
            (b'$', Some(b'{')) => {
                open += 1;
                at += 1;
            }
            (b'}', _) => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Some(at);
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const MAX_BYTES: usize = 64;

    fn expanded(text: &str) -> Result<String, String> {
        let env = [("SET", "value"), ("EMPTY", ""), ("_9", "nine")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        let env = BTreeMap::from(env);
        expand(text, &|name| env.get(name), MAX_BYTES).map(|expanded| expanded.text)
    }

    #[test]
    fn every_form_of_a_variable_is_replaced() {
        for (text, expected) in [
            ("no variable", "no variable"),
            ("$SET-x ${SET}x $_9", "value-x valuex nine"),
            ("$$SET $${SET} $$$SET", "$SET ${SET} $value"),
            ("${NONE:-d} ${EMPTY:-d} ${SET:-d}", "d d value"),
            ("${NONE-d} [${EMPTY-d}] ${SET-d}", "d [] value"),
            ("[${NONE:+o}] [${EMPTY:+o}] [${SET:+o}]", "[] [] [o]"),
            ("[${NONE+o}] [${EMPTY+o}] [${SET+o}]", "[] [o] [o]"),
            ("${SET:?must} [${EMPTY?must}]", "value []"),
            ("${A:-${B:-${SET}}}!", "value!"),
            ("${A:-$${B}}", "${B}"),
            ("${NONE}", ""),
            ("grün $SET ü", "grün value ü"),
        ] {
            assert_eq!(expanded(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_wrong_form_says_what_to_write() {
        for (text, part) in [
            ("$", "write `$$`"),
            ("cost: $5", "write `$$`"),
            ("${", "no closing brace"),
            ("${SET", "no closing brace"),
            ("${}", "no variable name"),
            ("${1}", "no variable name"),
            ("${SET!x}", "no form we know"),
            ("${SET:}", "no form we know"),
            ("${NONE:?give a port}", "variable `NONE` is required: give a port"),
            ("${NONE?}", "required and not set"),
            ("${EMPTY:?}", "required and not set"),
        ] {
            let message = expanded(text).expect_err(text);
            assert!(message.contains(part), "{text}: {message}");
        }
    }

    #[test]
    fn growth_and_depth_are_bounded() {
        assert!(expanded(&"$SET".repeat(100)).is_err());
        assert!(expanded(&format!("{}{}", "${A:-".repeat(20), "}".repeat(20))).is_err());
    }

    #[test]
    fn unset_variables_are_named_once() {
        let expanded = expand("$B $A ${B} ${C:-}", &|_| None, MAX_BYTES).expect("good");
        assert_eq!(expanded.unset.into_iter().collect::<Vec<_>>(), ["A", "B"]);
    }
}
