//! Compose keys of the Rancher file, laid over those of the Compose file: [`merge`].
//!
//! Trees are merged, not specs: every value keeps the place it was written at, and the same readers read it.

use std::rc::Rc;

use super::image::{self, Kind};
use super::keys;
use crate::field::Field;
use crate::format::Format;
use crate::keys::{SERVICE, SERVICE_V1};
use crate::limits::NODE_BYTES;
use crate::report::Report;
use crate::value::{Entry, Node, Value};

/// A service with what two files say about it.
pub(crate) struct Merged {
    pub kind: Kind,
    /// Every Compose key.
    pub whole: Rc<Node>,
    /// Without the keys that only mean something to a container, where there will be none.
    pub read: Rc<Node>,
}

/// Compose keys that say something about a service without containers.
const KEPT_WITHOUT_CONTAINERS: [&str; 6] = ["image", "ports", "labels", "networks", "deploy", "scale"];
/// Lists that are one value: the other file's replaces it.
const REPLACED: [&str; 2] = ["command", "entrypoint"];

/// The Compose keys of `overlay` over those of `compose`. Reports keys of `overlay` that nobody knows.
pub(crate) fn merge(compose: &Field, overlay: Option<&Field>, format: Format, report: &mut Report) -> Merged {
    let mut entries = match &compose.node.value {
        Value::Map(entries) => entries.clone(),
        // Nothing stands there: if the other file says what runs, that is enough.
        _ => Vec::new(),
    };
    let own_count = entries.len();
    if let Some(overlay) = overlay {
        lay_over(overlay, &mut entries, format, report);
    }
    let is_written = own_count > 0 || !entries.is_empty();
    imply_image(&mut entries, overlay);
    let kind = entries.iter().find(|entry| &*entry.key == "image").map_or(Kind::Containers, |entry| kind(&entry.value));
    let whole = match (&compose.node.value, is_written) {
        (Value::Map(_), _) | (Value::Null, true) => node(compose.node, entries.clone()),
        // Reported by whoever reads it.
        _ => copy(compose.node),
    };
    if kind != Kind::Containers {
        let table = table(format);
        entries.retain(|entry| KEPT_WITHOUT_CONTAINERS.contains(&&*entry.key) || table.find(&entry.key).is_none());
    }
    let read = if kind == Kind::Containers { whole.clone() } else { node(compose.node, entries) };
    Merged { kind, whole, read }
}

fn table(format: Format) -> &'static crate::keys::Table {
    match format {
        Format::V1 => &SERVICE_V1,
        Format::Sections => &SERVICE,
    }
}

fn lay_over(overlay: &Field, entries: &mut Vec<Entry>, format: Format, report: &mut Report) {
    // Asks for a map; its members are sorted below.
    overlay.entries(keys::SERVICE.expected, report);
    let Value::Map(written) = &overlay.node.value else {
        return;
    };
    for (field, over) in overlay.members().iter().zip(written) {
        if keys::SERVICE.find(&over.key).is_some() {
            continue;
        }
        if table(format).find(&over.key).is_none() && !over.key.starts_with("x-") {
            keys::unknown_in_service(field, table(format), report);
            continue;
        }
        match entries.iter_mut().find(|entry| entry.key == over.key) {
            Some(entry) => *entry = Entry { value: joined(&entry.key, &entry.value, &over.value), ..over.clone() },
            None => entries.push(over.clone()),
        }
    }
}

/// Both values in one, as Rancher does it: lists are appended, maps filled in, anything else replaced.
fn joined(key: &str, under: &Rc<Node>, over: &Rc<Node>) -> Rc<Node> {
    match (&under.value, &over.value) {
        (Value::List(first), Value::List(more)) if !REPLACED.contains(&key) => {
            let is_new = |item: &&Rc<Node>| !first.iter().any(|known| same_text(known, item));
            let items = first.iter().chain(more.iter().filter(is_new)).cloned().collect();
            sized(over, Value::List(items), under)
        }
        (Value::Map(first), Value::Map(more)) => {
            let is_replaced = |entry: &&Entry| !more.iter().any(|over| over.key == entry.key);
            let entries = first.iter().filter(is_replaced).chain(more).cloned().collect();
            sized(over, Value::Map(entries), under)
        }
        _ => over.clone(),
    }
}

fn same_text(one: &Node, other: &Node) -> bool {
    match (&one.value, &other.value) {
        (Value::Text { text: one, .. }, Value::Text { text: other, .. }) => one == other,
        _ => false,
    }
}

fn sized(over: &Node, value: Value, under: &Node) -> Rc<Node> {
    let weight_bytes = under.weight_bytes.saturating_add(over.weight_bytes);
    Rc::new(Node { span: over.span, value, weight_bytes, depth: under.depth.max(over.depth) })
}

fn node(of: &Node, entries: Vec<Entry>) -> Rc<Node> {
    let weight_bytes = entries.iter().map(|entry| entry.value.weight_bytes.saturating_add(NODE_BYTES)).sum();
    let depth = entries.iter().map(|entry| entry.value.depth).max().unwrap_or(0) + 1;
    Rc::new(Node { span: of.span, value: Value::Map(entries), weight_bytes, depth })
}

/// A node that is no map, on its own.
fn copy(of: &Node) -> Rc<Node> {
    let value = match &of.value {
        Value::Null => Value::Null,
        Value::Text { text, plain } => Value::Text { text: text.clone(), plain: *plain },
        Value::List(items) => Value::List(items.clone()),
        Value::Map(entries) => Value::Map(entries.clone()),
        Value::Broken => Value::Broken,
    };
    Rc::new(Node { value, ..Node::leaf(of.span, Value::Null) })
}

/// What is only a balancer or only outside needs no image to say so.
fn imply_image(entries: &mut Vec<Entry>, overlay: Option<&Field>) {
    if entries.iter().any(|entry| matches!(&*entry.key, "image" | "build" | "command" | "entrypoint")) {
        return;
    }
    let extension = entries.iter().find(|entry| &*entry.key == "x-remuda").map(|entry| entry.value.clone());
    let says = |key: &str| {
        let written = |node: Option<&Node>| node.and_then(|node| node.get(key)).map(|node| node.span);
        written(overlay.map(|overlay| overlay.node)).or_else(|| written(extension.as_deref()))
    };
    let implied = [("lb_config", image::BALANCER), ("external_ips", image::EXTERNAL)];
    if let Some((span, image)) = implied.iter().find_map(|(key, image)| Some((says(key)?, *image))) {
        let value = Rc::new(Node::leaf(span, Value::Text { text: image.into(), plain: true }));
        entries.push(Entry { key: "image".into(), key_span: span, value });
    }
}

fn kind(image: &Node) -> Kind {
    match &image.value {
        Value::Text { text, .. } => image::kind(text),
        _ => Kind::Containers,
    }
}
