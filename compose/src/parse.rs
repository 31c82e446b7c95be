//! YAML text to the positioned tree: [`parse`].
//!
//! The scanner hands over events; here they become nodes, with anchors shared, merge keys applied, duplicate keys refused
//! and variables replaced. Everything built is counted against the context's budget, aliases at the weight of what they
//! repeat, so that an alias bomb is refused where it goes off.

use std::collections::HashMap;
use std::rc::Rc;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span as ScanSpan, Tag};

use crate::brackets;
use crate::context::Context;
use crate::interpolate;
use crate::limits::{BRACKET_MARKS_MAX, EXPANDED_MAX_BYTES, NESTING_MAX, NODE_BYTES};
use crate::lines::Lines;
use crate::mapping::{Key, MapFrame};
use crate::problem::{escaped, shown};
use crate::report::Place;
use crate::value::{Entry, Node, Span, Value};

/// The tree of one file; None when it is no YAML or breaks a limit (reported).
pub(crate) fn parse(file: u32, text: &str, context: &mut Context) -> Option<Rc<Node>> {
    let mut builder = Builder::new(file, text);
    if let Some(at) = brackets::first_overfull(text) {
        builder.overfull(at, context);
        return None;
    }
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let step = match event {
            Ok((event, span)) => builder.event(event, span, context),
            Err(error) => Err(builder.syntax(&error, context)),
        };
        if step.is_err() {
            return None;
        }
    }
    let start = Span { file, line: 1, column: 1, ..Span::default() };
    builder.root.or_else(|| Some(Rc::new(Node::leaf(start, Value::Null))))
}

/// Parsing cannot go on; the reason has been reported.
struct Stop;

struct Builder<'t> {
    file: u32,
    lines: Lines<'t>,
    frames: Vec<Frame>,
    anchors: HashMap<usize, Rc<Node>>,
    root: Option<Rc<Node>>,
    documents: u32,
    /// Last line reported for a tab, so that it is reported once.
    tab_line: u32,
}

/// A list or map whose end has not come yet.
struct Frame {
    span: Span,
    anchor: usize,
    /// Written with brackets: indentation means nothing inside.
    is_flow: bool,
    items: Items,
}

enum Items {
    List(Vec<Rc<Node>>),
    Map(MapFrame),
}

impl<'t> Builder<'t> {
    fn new(file: u32, text: &'t str) -> Self {
        let lines = Lines::new(file, text);
        Self { file, lines, frames: Vec::new(), anchors: HashMap::new(), root: None, documents: 0, tab_line: 0 }
    }

    fn event(&mut self, event: Event, span: ScanSpan, context: &mut Context) -> Result<(), Stop> {
        let span = self.span(span);
        match event {
            Event::DocumentStart(_) => self.document(span, context),
            Event::Scalar(text, style, anchor, tag) => {
                // The lines of a block scalar are text, and it begins with them.
                if !matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
                    self.check_tab(span, context);
                }
                let value = self.scalar(&text, style, tag.as_deref(), span, context);
                let text_len = if let Value::Text { text, .. } = &value { text.len() } else { 0 };
                let node = Node { weight_bytes: NODE_BYTES + text_len, ..Node::leaf(span, value) };
                self.spend(node.weight_bytes, span, context)?;
                self.add(Rc::new(node), anchor, context);
                Ok(())
            }
            Event::Alias(anchor) => self.alias(anchor, span, context),
            Event::SequenceStart(anchor, tag) => {
                self.open(Items::List(Vec::new()), anchor, tag.as_deref(), span, context)
            }
            Event::MappingStart(anchor, tag) => {
                self.open(Items::Map(MapFrame::default()), anchor, tag.as_deref(), span, context)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(context),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    fn document(&mut self, span: Span, context: &mut Context) -> Result<(), Stop> {
        self.documents += 1;
        if self.documents < 2 {
            return Ok(());
        }
        self.problem(
            span,
            "a second document begins here: one file holds one; remove the `---` or split the file",
            context,
        );
        Err(Stop)
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        span: Span,
        context: &mut Context,
    ) -> Value {
        let is_text_by_tag = match tag {
            Some(tag) => self.check_tag(tag, span, context),
            None => false,
        };
        let plain = style == ScalarStyle::Plain && !is_text_by_tag;
        if plain && matches!(text, "" | "~" | "null" | "Null" | "NULL") {
            return Value::Null;
        }
        if self.expects_key() || !text.contains('$') {
            return Value::Text { text: text.into(), plain };
        }
        match interpolate::expand(text, &|name| context.env.get(name), context.bytes_left) {
            Ok(expanded) => {
                for name in &expanded.unset {
                    let name = shown(name);
                    let message = format!(
                        "variable {name} is not set, empty text stands for it: set it, or write a default with `:-`"
                    );
                    context.report.notice(self.place(span), message);
                }
                Value::Text { text: expanded.text.into(), plain }
            }
            Err(message) => {
                self.problem(span, message, context);
                Value::Broken
            }
        }
    }

    /// True if the tag makes the scalar text. Reports tags we do not know.
    fn check_tag(&mut self, tag: &Tag, span: Span, context: &mut Context) -> bool {
        if !tag.is_yaml_core_schema() && tag.to_string() != "!" {
            let message = match tag.suffix.as_str() {
                "reset" | "override" => {
                    "this tag only means something between several files, which are not merged yet: remove it"
                }
                _ => "this YAML tag is not known here: remove it",
            };
            self.problem(span, format!("{} {message}", shown(&tag.to_string())), context);
        }
        !tag.is_yaml_core_schema() || tag.suffix == "str"
    }

    fn alias(&mut self, anchor: usize, span: Span, context: &mut Context) -> Result<(), Stop> {
        self.check_tab(span, context);
        let Some(node) = self.anchors.get(&anchor).cloned() else {
            self.problem(span, "this alias stands inside the value it refers to: write the value out", context);
            return Err(Stop);
        };
        if self.frames.len() as u32 + node.depth > NESTING_MAX {
            return Err(self.too_deep(span, context));
        }
        self.spend(node.weight_bytes, span, context)?;
        self.add(node, 0, context);
        Ok(())
    }

    fn open(
        &mut self,
        items: Items,
        anchor: usize,
        tag: Option<&Tag>,
        span: Span,
        context: &mut Context,
    ) -> Result<(), Stop> {
        if let Some(tag) = tag {
            self.check_tag(tag, span, context);
        }
        if self.frames.len() as u32 >= NESTING_MAX {
            return Err(self.too_deep(span, context));
        }
        // Looking at the text comes second: it walks the line, and a line of brackets may hold very many.
        let is_flow =
            self.frames.last().is_some_and(|frame| frame.is_flow) || self.lines.from(span).starts_with(['[', '{']);
        self.frames.push(Frame { span, anchor, is_flow, items });
        self.spend(NODE_BYTES, span, context)
    }

    fn close(&mut self, context: &mut Context) -> Result<(), Stop> {
        let Some(frame) = self.frames.pop() else {
            return Ok(());
        };
        let value = match frame.items {
            Items::List(items) => Value::List(items),
            Items::Map(map) => Value::Map(map.finish()),
        };
        let (weight_bytes, depth) = measure(&value);
        let node = Rc::new(Node { span: frame.span, value, weight_bytes, depth });
        if self.frames.len() as u32 + depth > NESTING_MAX {
            return Err(self.too_deep(frame.span, context));
        }
        self.add(node, frame.anchor, context);
        Ok(())
    }

    /// Puts a finished node where it belongs: into a list, a map (as key or value), or at the root.
    fn add(&mut self, node: Rc<Node>, anchor: usize, context: &mut Context) {
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let fault = match self.frames.last_mut() {
            None => {
                self.root.get_or_insert(node);
                return;
            }
            Some(Frame { items: Items::List(items), .. }) => {
                items.push(node);
                return;
            }
            Some(Frame { items: Items::Map(map), .. }) => match map.key.take() {
                None => map.take_key(&node).map(|message| (node.span, message)),
                Some(Key::Name(key, key_span)) => {
                    map.entries.push(Entry { key, key_span, value: node });
                    None
                }
                Some(Key::Merge) => map.take_merge(&node).map(|message| (node.span, message)),
                Some(Key::Ignore) => None,
            },
        };
        if let Some((span, message)) = fault {
            self.problem(span, message, context);
        }
    }

    /// The next scalar is a key of a map.
    fn expects_key(&self) -> bool {
        matches!(self.frames.last(), Some(Frame { items: Items::Map(map), .. }) if map.key.is_none())
    }

    fn spend(&mut self, bytes: usize, span: Span, context: &mut Context) -> Result<(), Stop> {
        if context.spend(bytes) {
            return Ok(());
        }
        let limit_mib = EXPANDED_MAX_BYTES / 1024 / 1024;
        let message = format!(
            "with aliases and variables written out the file exceeds {limit_mib} MiB here: use fewer aliases, or split the stack"
        );
        self.problem(span, message, context);
        Err(Stop)
    }

    fn overfull(&self, at_bytes: usize, context: &mut Context) {
        let message = format!(
            "more than {BRACKET_MARKS_MAX} items inside one pair of brackets: write lists with `- ` line by line"
        );
        self.problem_at(self.lines.span_at(at_bytes), String::new(), message, context);
    }

    fn too_deep(&mut self, span: Span, context: &mut Context) -> Stop {
        let message = format!("nested deeper than {NESTING_MAX} levels: no Compose file needs that");
        self.problem(span, message, context);
        Stop
    }

    /// Outside brackets a tab in the indentation is refused even where the scanner lets it pass.
    fn check_tab(&mut self, span: Span, context: &mut Context) {
        let is_block = self.frames.last().is_some_and(|frame| !frame.is_flow);
        if is_block && span.line != self.tab_line {
            self.report_tab(span.line, context);
        }
    }

    /// Reports line `line` (from 1) if its indentation holds a tab; true if it does.
    fn report_tab(&mut self, line: u32, context: &mut Context) -> bool {
        let Some(tab) = self.lines.tab_in_indentation(line) else {
            return false;
        };
        self.tab_line = line;
        if !context.report.is_full() {
            let span = self.lines.span_at(tab);
            self.problem_at(span, String::new(), "a tab indents this line: YAML wants spaces, replace it", context);
        }
        true
    }

    /// Reports what the scanner could not read; lines indented with tabs, if any lead up to it, are the better explanation.
    fn syntax(&mut self, error: &ScanError, context: &mut Context) -> Stop {
        let at = ScanSpan::empty(*error.marker());
        let error_line = at.start.line().max(1) as u32;
        let is_reported = self.tab_line > 0 && (error_line - 1..=error_line).contains(&self.tab_line);
        let has_tab = is_reported || (error_line.max(2) - 1..=error_line).any(|line| self.report_tab(line, context));
        let mut line = 1;
        while has_tab && line <= self.lines.count() && !context.report.is_full() {
            self.report_tab(line, context);
            line += 1;
        }
        if !has_tab {
            let info: String = error.info().chars().flat_map(escaped).collect();
            let message = format!("not valid YAML: {info}{}", hint(&info));
            let span = self.span(at);
            self.problem_at(span, String::new(), message, context);
        }
        Stop
    }

    fn problem(&mut self, span: Span, message: impl Into<String>, context: &mut Context) {
        let field = if context.report.is_full() { String::new() } else { self.path() };
        self.problem_at(span, field, message, context);
    }

    fn problem_at(&self, span: Span, field: String, message: impl Into<String>, context: &mut Context) {
        context.report.problem(Place { span, field }, message);
    }

    fn place(&self, span: Span) -> Place {
        Place { span, field: self.path() }
    }

    /// The path of the value being read, as `Field` prints it.
    fn path(&self) -> String {
        let mut path = String::new();
        for frame in &self.frames {
            match &frame.items {
                Items::List(items) => path += &format!("[{}]", items.len()),
                Items::Map(MapFrame { key: Some(Key::Name(key, _)), .. }) => crate::field::push_key(&mut path, key),
                Items::Map(_) => {}
            }
        }
        path
    }

    fn span(&self, span: ScanSpan) -> Span {
        Span {
            file: self.file,
            start_chars: span.start.index() as u32,
            end_chars: span.end.index() as u32,
            line: span.start.line().max(1) as u32,
            column: span.start.col() as u32 + 1,
        }
    }
}

/// Weight and depth of a collection from those of its members.
fn measure(value: &Value) -> (usize, u32) {
    let (mut weight_bytes, mut depth) = (NODE_BYTES, 0);
    let mut count = |node: &Node, key_len: usize| {
        weight_bytes = weight_bytes.saturating_add(node.weight_bytes).saturating_add(key_len);
        depth = depth.max(node.depth);
    };
    match value {
        Value::List(items) => items.iter().for_each(|item| count(item, 0)),
        Value::Map(entries) => entries.iter().for_each(|entry| count(&entry.value, NODE_BYTES + entry.key.len())),
        Value::Null | Value::Text { .. } | Value::Broken => {}
    }
    (weight_bytes, depth + 1)
}

/// What usually causes a scanner message.
fn hint(info: &str) -> &'static str {
    match info {
        _ if info.contains("mapping values are not allowed") => {
            " (quote a value that holds `: `, and check the indentation)"
        }
        _ if info.contains("simple key") => " (a `:` is missing, or the indentation is off)",
        _ if info.contains("unknown anchor") => " (an alias `*name` needs an anchor `&name` before it)",
        _ if info.contains("did not find expected") => " (check the indentation here and in the line above)",
        _ => "",
    }
}
