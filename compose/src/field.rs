//! A value with its path, and typed reading: every reader either returns the value or reports what was expected.

use std::fmt;
use std::ops::RangeInclusive;

use crate::problem::{plain_shown, shown};
use crate::report::{Place, Report};
use crate::value::{Node, Span, Value};

/// A value of the file, where it is and how to get there.
#[derive(Clone, Copy)]
pub(crate) struct Field<'a> {
    pub node: &'a Node,
    /// Where its key is written; the value's own place when it has none.
    pub key_span: Span,
    path: Path<'a>,
}

#[derive(Clone, Copy)]
struct Path<'a> {
    up: Option<&'a Path<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Root,
    Key(&'a str),
    Index(usize),
}

impl<'a> Field<'a> {
    pub(crate) fn root(node: &'a Node) -> Self {
        Self { node, key_span: node.span, path: Path { up: None, step: Step::Root } }
    }

    /// Another value in this one's place.
    pub(crate) fn over<'b>(&self, node: &'b Node) -> Field<'b>
    where
        'a: 'b,
    {
        Field { node, key_span: self.key_span, path: self.path }
    }

    /// The key this value stands under; empty for list items and the root.
    pub(crate) fn key(&self) -> &'a str {
        match self.path.step {
            Step::Key(key) => key,
            Step::Root | Step::Index(_) => "",
        }
    }

    /// The entries of a map, in file order; nothing when there is none (`key:` alone).
    pub(crate) fn entries(&self, expected: &str, report: &mut Report) -> Vec<Field<'_>> {
        if let Value::Text { .. } | Value::List(_) = self.node.value {
            self.expected(expected, report);
        }
        self.members()
    }

    /// The entries of a map; nothing when it is none, without a word.
    pub(crate) fn members(&self) -> Vec<Field<'_>> {
        let Value::Map(entries) = &self.node.value else {
            return Vec::new();
        };
        entries.iter().map(|entry| self.child(Step::Key(&entry.key), entry.key_span, &entry.value)).collect()
    }

    /// The items of a list; nothing when there is none.
    pub(crate) fn items(&self, expected: &str, report: &mut Report) -> Vec<Field<'_>> {
        match &self.node.value {
            Value::List(items) => {
                let field =
                    |(index, node): (usize, &'a std::rc::Rc<Node>)| self.child(Step::Index(index), node.span, node);
                items.iter().enumerate().map(field).collect()
            }
            Value::Null | Value::Broken => Vec::new(),
            Value::Text { .. } | Value::Map(_) => {
                self.expected(expected, report);
                Vec::new()
            }
        }
    }

    /// The items of a list, or the one text that stands in place of it.
    pub(crate) fn one_or_more(&self, expected: &str, report: &mut Report) -> Vec<Field<'_>> {
        match &self.node.value {
            Value::Text { .. } => vec![*self],
            _ => self.items(expected, report),
        }
    }

    /// Text, or a number or boolean as it is written.
    pub(crate) fn text(&self, expected: &str, report: &mut Report) -> Option<&'a str> {
        match &self.node.value {
            Value::Text { text, .. } => Some(text),
            Value::Broken => None,
            Value::Null | Value::List(_) | Value::Map(_) => {
                self.expected(expected, report);
                None
            }
        }
    }

    /// Text of one line that says something: not empty, no control characters.
    pub(crate) fn line(&self, expected: &str, report: &mut Report) -> Option<&'a str> {
        let text = self.text(expected, report)?;
        if text.trim().is_empty() || text.chars().any(char::is_control) {
            self.expected(expected, report);
            return None;
        }
        Some(text)
    }

    /// One of `choices`, by its spelling.
    pub(crate) fn choice<T: Copy>(&self, choices: &[(&str, T)], report: &mut Report) -> Option<T> {
        let names: Vec<_> = choices.iter().map(|(name, _)| format!("`{name}`")).collect();
        let expected = names.join(" or ");
        let text = self.text(&expected, report)?;
        let found = choices.iter().find(|(name, _)| *name == text);
        if found.is_none() {
            self.expected(&expected, report);
        }
        found.map(|(_, choice)| *choice)
    }

    /// A whole number within `range`, quoted or not.
    pub(crate) fn integer(&self, range: RangeInclusive<u64>, report: &mut Report) -> Option<u64> {
        self.number("a whole number", range, report)
    }

    /// [`Field::integer`] that says `what` it is about.
    pub(crate) fn number(&self, what: &str, range: RangeInclusive<u64>, report: &mut Report) -> Option<u64> {
        let expected = format!("{what} from {} to {}", range.start(), range.end());
        let text = self.text(&expected, report)?;
        let number = whole_number(text).filter(|number| range.contains(number));
        if number.is_none() {
            self.expected(&expected, report);
        }
        number
    }

    /// A whole number within `range`, quoted or not, that may be negative.
    pub(crate) fn signed(&self, range: RangeInclusive<i64>, report: &mut Report) -> Option<i64> {
        let expected = match *range.end() {
            i64::MAX => format!("a whole number from {}", range.start()),
            end => format!("a whole number from {} to {end}", range.start()),
        };
        let text = self.text(&expected, report)?.trim();
        let digits = text.strip_prefix('-').unwrap_or(text);
        let is_plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        let number = text.parse().ok().filter(|number| is_plain && range.contains(number));
        if number.is_none() {
            self.expected(&expected, report);
        }
        number
    }

    /// `true` or `false`; also YAML 1.1's other spellings of them, as Compose does.
    pub(crate) fn boolean(&self, report: &mut Report) -> Option<bool> {
        let text = self.text("`true` or `false`", report)?;
        match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => Some(true),
            "false" | "no" | "off" => Some(false),
            _ => {
                self.expected("`true` or `false`", report);
                None
            }
        }
    }

    /// Reports "expected …, found …" at the value.
    pub(crate) fn expected(&self, expected: &str, report: &mut Report) {
        let found = match &self.node.value {
            Value::Text { text, .. } if text.is_empty() => "empty text (is a variable not set?)".to_owned(),
            Value::Text { text, .. } => shown(text),
            _ => self.node.kind().to_owned(),
        };
        self.problem(format!("expected {expected}, found {found}"), report);
    }

    pub(crate) fn problem(&self, message: impl Into<String>, report: &mut Report) {
        report.problem_with(|| self.place(), message);
    }

    /// Reports at the key: for what is missing or should not be here at all.
    pub(crate) fn problem_at_key(&self, message: impl Into<String>, report: &mut Report) {
        report.problem_with(|| self.key_place(), message);
    }

    pub(crate) fn place(&self) -> Place {
        Place { span: self.node.span, field: self.path.to_string() }
    }

    pub(crate) fn key_place(&self) -> Place {
        Place { span: self.key_span, field: self.path.to_string() }
    }

    fn child<'b>(&'b self, step: Step<'b>, key_span: Span, node: &'b Node) -> Field<'b> {
        Field { node, key_span, path: Path { up: Some(&self.path), step } }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut steps = Vec::new();
        let mut path = Some(self);
        while let Some(Path { up, step }) = path {
            steps.push(*step);
            path = *up;
        }
        let mut text = String::new();
        for step in steps.into_iter().rev() {
            match step {
                Step::Root => {}
                Step::Key(key) => push_key(&mut text, key),
                Step::Index(index) => text += &format!("[{index}]"),
            }
        }
        f.write_str(&text)
    }
}

/// Appends a key to a printed path.
pub(crate) fn push_key(path: &mut String, key: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(&plain_shown(key));
}

/// Decimal digits, or a float that is whole (`3.0` from a template); None for anything else.
fn whole_number(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.strip_suffix(".0").unwrap_or(text);
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
}
