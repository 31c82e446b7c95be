//! What a reader is told, and where: [`Problem`] stops the file from loading, [`Notice`] does not.

use std::fmt;
use std::sync::Arc;

use crate::limits::{FILE_MAX_BYTES, SHOWN_MAX_CHARS};

/// Something wrong. Prints as `file:line:column: services.web.ports[0]: message`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub at: Position,
    /// `services.web.ports[0]`; empty when it concerns the whole file.
    pub field: String,
    /// What was expected and what to do.
    pub message: String,
}

/// Something the author should know; the file loads. Prints like a [`Problem`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub at: Position,
    pub field: String,
    pub message: String,
}

/// A place in a source file, for people (line, column) and for tools that show the line (offset, length).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    pub file: Arc<str>,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// From the start of the file's text; never beyond its end, always on a character boundary.
    pub offset_bytes: usize,
    /// May be 0; never leaves the line.
    pub len_bytes: usize,
}

impl Problem {
    pub(crate) fn too_large(path: &str) -> Self {
        let limit_kib = FILE_MAX_BYTES / 1024;
        let message =
            format!("the file is larger than {limit_kib} KiB: split the stack, or check that this is the right file");
        Self { at: Position::start_of(path), field: String::new(), message }
    }

    pub(crate) fn not_utf8(path: &str, bytes: &[u8], valid_up_to: usize) -> Self {
        let valid = String::from_utf8_lossy(&bytes[..valid_up_to]);
        let last_line = valid.rsplit('\n').next().unwrap_or_default();
        let at = Position {
            line: valid.matches('\n').count() as u32 + 1,
            column: last_line.chars().count() as u32 + 1,
            offset_bytes: valid_up_to,
            ..Position::start_of(path)
        };
        let message = "the file is not UTF-8 text: save it as UTF-8".to_owned();
        Self { at, field: String::new(), message }
    }
}

impl Position {
    pub(crate) fn start_of(path: &str) -> Self {
        Self { file: path.into(), line: 1, column: 1, offset_bytes: 0, len_bytes: 0 }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_line(f, &self.at, &self.field, &self.message)
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_line(f, &self.at, &self.field, &self.message)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

impl std::error::Error for Problem {}

fn write_line(f: &mut fmt::Formatter<'_>, at: &Position, field: &str, message: &str) -> fmt::Result {
    match field {
        "" => write!(f, "{at}: {message}"),
        field => write!(f, "{at}: {field}: {message}"),
    }
}

/// User text fit for a message: in backticks, control characters escaped, long text cut.
pub(crate) fn shown(text: &str) -> String {
    format!("`{}`", plain_shown(text))
}

/// [`shown`] without the backticks.
pub(crate) fn plain_shown(text: &str) -> String {
    let mut chars = text.chars();
    let mut out: String = chars.by_ref().take(SHOWN_MAX_CHARS).flat_map(escaped).collect();
    if chars.next().is_some() {
        out.push('…');
    }
    out
}

/// The character, or its escape if printing it would change the terminal or how the line reads.
pub(crate) fn escaped(c: char) -> impl Iterator<Item = char> {
    let must_escape = c.is_control() || is_invisible(c);
    let escape = must_escape.then(|| c.escape_default()).into_iter().flatten();
    escape.chain((!must_escape).then_some(c))
}

/// Zero-width and direction-changing characters that would make a message read as something else.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}
