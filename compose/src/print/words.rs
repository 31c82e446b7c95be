//! Values as the readers of this crate take them: [`Object`] and one function for each kind of value.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// A map in the order it was filled.
#[derive(Default)]
pub(super) struct Object(Map<String, Value>);

impl Object {
    pub(super) fn put(&mut self, key: &str, value: impl Into<Value>) {
        self.0.insert(key.to_owned(), value.into());
    }

    /// [`Object::put`] unless the value says nothing: null, empty, `false` or 0.
    pub(super) fn put_some(&mut self, key: &str, value: impl Into<Value>) {
        let value = value.into();
        let says_something = match &value {
            Value::Null | Value::Bool(false) => false,
            Value::Bool(true) => true,
            Value::Number(number) => number.as_i64() != Some(0),
            Value::String(text) => !text.is_empty(),
            Value::Array(items) => !items.is_empty(),
            Value::Object(fields) => !fields.is_empty(),
        };
        if says_something {
            self.put(key, value);
        }
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Self::Object(object.0)
    }
}

/// The value with every `$` of its texts doubled, so that none is read as a variable; keys never are.
pub(super) fn escaped(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace('$', "$$")),
        Value::Array(items) => Value::Array(items.into_iter().map(escaped).collect()),
        Value::Object(fields) => Value::Object(fields.into_iter().map(|(key, value)| (key, escaped(value))).collect()),
        other => other,
    }
}

/// `1500ms`, `10s`.
pub(super) fn duration(ms: u64) -> String {
    match ms % 1_000 {
        0 => format!("{}s", ms / 1_000),
        _ => format!("{ms}ms"),
    }
}

/// Thousandths of a core as cores; 0 = nothing.
pub(super) fn cores(milli: u64) -> String {
    match milli {
        0 => String::new(),
        _ => {
            let cores = format!("{}.{:03}", milli / 1_000, milli % 1_000);
            cores.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
    }
}

/// Bytes in the largest unit that says them exactly; 0 = nothing.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(1 << 40, "T"), (1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K")];
    match UNITS.iter().find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit)) {
        _ if bytes == 0 => String::new(),
        Some((unit, name)) => format!("{}{name}", bytes / unit),
        None => bytes.to_string(),
    }
}

pub(super) fn pairs(pairs: &BTreeMap<String, String>) -> Map<String, Value> {
    pairs.iter().map(|(key, value)| (key.clone(), Value::String(value.clone()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_as_people_write_them() {
        assert_eq!([0, 500, 1_000, 90_000].map(duration), ["0s", "500ms", "1s", "90s"]);
        assert_eq!([0, 1, 100, 1_500, 10_000].map(cores), ["", "0.001", "0.1", "1.5", "10"]);
        assert_eq!([0, 1, 1_000, 1_024, 3 << 29].map(size), ["", "1", "1000", "1K", "1536M"]);
    }
}
