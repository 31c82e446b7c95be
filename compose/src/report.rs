//! Collects problems and notices while a file is read; [`Report::finish`] sorts them and turns places into positions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::SourceFile;
use crate::limits::{PROBLEMS_MAX, SPAN_MAX_CHARS};
use crate::problem::{Notice, Position, Problem};
use crate::value::Span;

#[derive(Default)]
pub(crate) struct Report {
    problems: BTreeSet<(Place, String)>,
    dropped_count: usize,
    /// Message -> its first place and how many places there are.
    notices: BTreeMap<String, (Place, usize)>,
}

/// Where something is: its span and its path, kept for checks that come after reading.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub span: Span,
    pub field: String,
}

impl Report {
    pub(crate) fn problem(&mut self, place: Place, message: impl Into<String>) {
        self.problem_with(|| place, message);
    }

    /// [`Report::problem`] that works out the place only if there is room.
    pub(crate) fn problem_with(&mut self, place: impl FnOnce() -> Place, message: impl Into<String>) {
        if self.is_full() {
            self.dropped_count += 1;
        } else {
            self.problems.insert((place(), message.into()));
        }
    }

    /// Nothing said from here on will be shown: callers may skip dear explanations.
    pub(crate) fn is_full(&self) -> bool {
        self.problems.len() >= PROBLEMS_MAX
    }

    pub(crate) fn has_problems(&self) -> bool {
        !self.problems.is_empty()
    }

    /// Says `message` once, at the first place it concerns, with the number of places.
    pub(crate) fn notice(&mut self, place: Place, message: String) {
        if let Some((first, count)) = self.notices.get_mut(&message) {
            *count += 1;
            if place < *first {
                *first = place;
            }
        } else if self.notices.len() < PROBLEMS_MAX {
            self.notices.insert(message, (place, 1));
        }
    }

    /// The notices if nothing was wrong, else every problem; both by position.
    pub(crate) fn finish(self, files: &[&SourceFile]) -> Result<Vec<Notice>, Vec<Problem>> {
        let mut locator = Locator::new(files);
        if self.problems.is_empty() {
            let mut notices: Vec<_> =
                self.notices.into_iter().map(|(text, (place, n))| (place, times(text, n))).collect();
            notices.sort();
            let notices = notices.into_iter();
            return Ok(notices
                .map(|(p, message)| Notice { at: locator.at(p.span), field: p.field, message })
                .collect());
        }
        let problems = self.problems.into_iter();
        let mut problems: Vec<_> =
            problems.map(|(p, message)| Problem { at: locator.at(p.span), field: p.field, message }).collect();
        if let (Some(last), 1..) = (problems.last(), self.dropped_count) {
            let message = format!("and {} more problems: fix these first", self.dropped_count);
            problems.push(Problem { at: last.at.clone(), field: String::new(), message });
        }
        Err(problems)
    }
}

fn times(message: String, count: usize) -> String {
    match count {
        1 => message,
        _ => format!("{message} ({count} places)"),
    }
}

/// Turns spans that come in order into byte positions, in one pass over each file.
struct Locator<'a> {
    files: &'a [&'a SourceFile],
    names: Vec<Arc<str>>,
    file_index: usize,
    chars: usize,
    bytes: usize,
}

impl<'a> Locator<'a> {
    fn new(files: &'a [&'a SourceFile]) -> Self {
        let names = files.iter().map(|file| Arc::from(file.path.as_str())).collect();
        Self { files, names, file_index: 0, chars: 0, bytes: 0 }
    }

    fn at(&mut self, span: Span) -> Position {
        let index = span.file as usize;
        let Some(file) = self.files.get(index) else {
            return Position::start_of("");
        };
        let start_chars = span.start_chars as usize;
        if index != self.file_index || start_chars < self.chars {
            (self.file_index, self.chars, self.bytes) = (index, 0, 0);
        }
        self.bytes += bytes_of(&file.text[self.bytes..], start_chars - self.chars);
        self.chars = start_chars;
        let line = file.text[self.bytes..].lines().next().unwrap_or_default();
        let len_chars = span.end_chars.saturating_sub(span.start_chars).clamp(1, SPAN_MAX_CHARS) as usize;
        Position {
            file: self.names[index].clone(),
            line: span.line,
            column: span.column,
            offset_bytes: self.bytes,
            len_bytes: bytes_of(line, len_chars),
        }
    }
}

/// Length of the first `chars` characters of `text`.
fn bytes_of(text: &str, chars: usize) -> usize {
    text.char_indices().nth(chars).map_or(text.len(), |(at, _)| at)
}
