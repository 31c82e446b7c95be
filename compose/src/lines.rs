//! The lines of a file by byte offset: [`Lines`] finds tabs in indentation and turns offsets into spans.
//!
//! Lines end at `\n` here; a file with lone `\r`, which the scanner counts too, merely gets less exact answers.

use crate::value::Span;

pub(crate) struct Lines<'t> {
    file: u32,
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    pub(crate) fn new(file: u32, text: &'t str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { file, text, starts }
    }

    pub(crate) fn count(&self) -> u32 {
        self.starts.len() as u32
    }

    /// Byte offset of a tab before the content of line `line` (from 1); None where there is no tab or no content.
    pub(crate) fn tab_in_indentation(&self, line: u32) -> Option<usize> {
        let start = self.start(line)?;
        let text = self.text[start..].lines().next()?;
        let content = text.trim_start_matches([' ', '\t']);
        let indentation = &text[..text.len() - content.len()];
        indentation.find('\t').filter(|_| !content.is_empty()).map(|tab| start + tab)
    }

    /// The text of the line from where `span` begins. Walks the line.
    pub(crate) fn from(&self, span: Span) -> &'t str {
        let start = self.start(span.line).unwrap_or(self.text.len());
        let line = self.text[start..].lines().next().unwrap_or_default();
        let at = line.char_indices().nth(span.column.saturating_sub(1) as usize).map_or(line.len(), |(at, _)| at);
        &line[at..]
    }

    /// The span of one character at byte `at`, which must be on a character boundary. Walks the text.
    pub(crate) fn span_at(&self, at: usize) -> Span {
        let line_index = self.starts.partition_point(|start| *start <= at).saturating_sub(1);
        let chars = |from: usize| self.text[from..at].chars().count() as u32;
        let start_chars = chars(0);
        Span {
            file: self.file,
            start_chars,
            end_chars: start_chars + 1,
            line: line_index as u32 + 1,
            column: chars(self.starts[line_index]) + 1,
        }
    }

    fn start(&self, line: u32) -> Option<usize> {
        self.starts.get((line as usize).checked_sub(1)?).copied()
    }
}
