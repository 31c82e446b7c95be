//! The positioned tree: YAML values, each with the place it was written at.
//!
//! Nodes are shared, not copied, where an alias or a merge key repeats them; `weight_bytes` counts what they would weigh
//! written out, and `depth` their nesting through aliases, so that walking a tree is bounded by the limits of `parse`.

use std::rc::Rc;

use crate::limits::NODE_BYTES;

/// A place in one of the files; positions and ends are counted in characters, as the scanner counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span {
    /// Index in the list of files.
    pub file: u32,
    pub start_chars: u32,
    pub end_chars: u32,
    /// From 1.
    pub line: u32,
    /// From 1.
    pub column: u32,
}

#[derive(Debug)]
pub(crate) struct Node {
    pub span: Span,
    pub value: Value,
    pub weight_bytes: usize,
    pub depth: u32,
}

#[derive(Debug)]
pub(crate) enum Value {
    Null,
    /// Any scalar, variables replaced. Plain = written without quotes, so `true` and `~` have their YAML meaning.
    Text {
        text: Rc<str>,
        plain: bool,
    },
    List(Vec<Rc<Node>>),
    /// In file order, merged entries last; keys are unique.
    Map(Vec<Entry>),
    /// Something was wrong with it and has been reported: stay silent.
    Broken,
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub key: Rc<str>,
    pub key_span: Span,
    pub value: Rc<Node>,
}

impl Node {
    /// A node without members.
    pub(crate) fn leaf(span: Span, value: Value) -> Self {
        Self { span, value, weight_bytes: NODE_BYTES, depth: 0 }
    }

    /// What kind of value this is, for "found …".
    pub(crate) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null | Value::Broken => "nothing",
            Value::Text { text, plain: true } if matches!(&**text, "true" | "false") => "true or false",
            Value::Text { text, plain: true } if text.parse::<f64>().is_ok() => "a number",
            Value::Text { .. } => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    /// The value of `key` if this is a map that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| &*entry.key == key).map(|entry| &*entry.value),
            _ => None,
        }
    }
}
