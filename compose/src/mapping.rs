//! A map whose end has not come yet: [`MapFrame`] refuses duplicate and odd keys, and applies `<<`.

use std::collections::HashMap;
use std::rc::Rc;

use crate::problem::shown;
use crate::value::{Entry, Node, Span, Value};

#[derive(Default)]
pub(crate) struct MapFrame {
    pub entries: Vec<Entry>,
    lines_by_key: HashMap<Rc<str>, u32>,
    merges: Vec<Rc<Node>>,
    pub key: Option<Key>,
}

/// What to do with the value that comes next.
pub(crate) enum Key {
    Name(Rc<str>, Span),
    Merge,
    /// The key was wrong (reported).
    Ignore,
}

impl MapFrame {
    /// Remembers the key; says what is wrong with it, if anything.
    pub(crate) fn take_key(&mut self, node: &Node) -> Option<String> {
        self.key = Some(Key::Ignore);
        let text = match &node.value {
            Value::Text { text, .. } if !text.is_empty() => text,
            Value::Broken => return None,
            Value::Text { .. } | Value::Null => {
                return Some("a key is missing before the `:`: give it a name".to_owned());
            }
            Value::List(_) | Value::Map(_) => return Some(format!("a key must be text, found {}", node.kind())),
        };
        if let Some(line) = self.lines_by_key.insert(text.clone(), node.span.line) {
            return Some(format!("key {} is already given at line {line}: keep one of them", shown(text)));
        }
        self.key = Some(match &node.value {
            Value::Text { plain: true, text } if &**text == "<<" => Key::Merge,
            _ => Key::Name(text.clone(), node.span),
        });
        None
    }

    /// Remembers what `<<` merges; says what is wrong with it, if anything.
    pub(crate) fn take_merge(&mut self, node: &Rc<Node>) -> Option<String> {
        match &node.value {
            Value::Map(_) => self.merges.push(node.clone()),
            Value::List(items) if items.iter().all(|item| matches!(item.value, Value::Map(_))) => {
                self.merges.extend(items.iter().cloned());
            }
            Value::Broken => {}
            _ => return Some(format!("`<<` merges a map or a list of maps, found {}", node.kind())),
        }
        None
    }

    /// The entries, own ones first; of merged ones the first to name a key wins.
    pub(crate) fn finish(mut self) -> Vec<Entry> {
        for merged in &self.merges {
            let Value::Map(entries) = &merged.value else {
                continue;
            };
            for entry in entries {
                if self.lines_by_key.insert(entry.key.clone(), entry.key_span.line).is_none() {
                    self.entries.push(entry.clone());
                }
            }
        }
        self.entries
    }
}
