//! Dated lines of a container's log, out of the bytes of an answer. Pure.

use super::framing::Framing;
use super::moment::unix_ns;
use crate::runtime::{LogChunk, Stream};

/// The engine cuts lines at 16 KB; other log drivers may keep longer ones, which are cut here.
const LINE_MAX_BYTES: usize = 64 << 10;
/// Where the engine cuts a line.
const ENGINE_CUT_BYTES: usize = 16 << 10;

/// Dated lines out of the bytes of an answer.
pub(super) struct Lines {
    /// None: a terminal's.
    framing: Option<Framing>,
    partial: Vec<u8>,
}

impl Lines {
    pub(super) fn of(has_terminal: bool) -> Lines {
        Lines { framing: (!has_terminal).then(Framing::default), partial: Vec::new() }
    }

    /// The lines that are whole with these bytes. A damaged one is left out.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        let Some(framing) = &mut self.framing else {
            self.partial.extend_from_slice(bytes);
            while let Some(end) = terminal_line(&self.partial) {
                let line: Vec<u8> = self.partial.drain(..end).collect();
                lines.extend(parse(Stream::Stdout, &line));
            }
            return lines;
        };
        for piece in framing.split(bytes) {
            let room_bytes = LINE_MAX_BYTES.saturating_sub(self.partial.len());
            self.partial.extend_from_slice(piece.bytes.get(..room_bytes).unwrap_or(piece.bytes));
            if piece.is_last {
                lines.extend(parse(piece.stream, &std::mem::take(&mut self.partial)));
            }
        }
        lines
    }
}

/// Where the first line ends: behind its newline, or where the engine cut it and dated the rest.
fn terminal_line(bytes: &[u8]) -> Option<usize> {
    let cut = bytes.iter().position(|byte| *byte == b' ').unwrap_or(LINE_MAX_BYTES) + 1 + ENGINE_CUT_BYTES;
    match bytes.iter().take(cut).position(|byte| *byte == b'\n') {
        Some(at) => Some(at + 1),
        None if bytes.len() > cut => Some(cut),
        None => None,
    }
}

/// `TIME TEXT`, with a newline or cut.
fn parse(stream: Stream, line: &[u8]) -> Option<Line> {
    let at = line.iter().position(|byte| *byte == b' ')?;
    let (time, text) = line.split_at(at);
    let time_ns = unix_ns(std::str::from_utf8(time).ok()?)?;
    let mut text = text.get(1..).unwrap_or_default().to_vec();
    let is_cut = !text.ends_with(b"\n");
    if is_cut {
        text.push(b'\n');
    }
    Some(Line { stream, time_ns, text, is_cut })
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) stream: Stream,
    pub(super) time_ns: u64,
    /// With its newline.
    pub(super) text: Vec<u8>,
    /// The engine cut it here: what follows has the same time.
    pub(super) is_cut: bool,
}

impl Line {
    pub(super) fn chunk(self) -> LogChunk {
        LogChunk { stream: self.stream, time_ms: self.time_ns / 1_000_000, bytes: self.text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &str = "2024-02-29T12:34:56.000000007Z";
    const TIME_NS: u64 = 1_709_210_096_000_000_007;

    fn line(stream: Stream, time_ns: u64, text: &str) -> Line {
        Line { stream, time_ns, text: text.into(), is_cut: false }
    }

    fn cut(line: Line) -> Line {
        Line { is_cut: true, ..line }
    }

    fn frame(kind: u8, text: &str) -> Vec<u8> {
        [&[kind, 0, 0, 0], (text.len() as u32).to_be_bytes().as_slice(), text.as_bytes()].concat()
    }

    #[test]
    fn lines_of_two_streams_are_told_apart_and_dated() {
        let mut lines = Lines::of(false);
        let bytes =
            [frame(1, &format!("{TIME} one  two\n")), frame(2, &format!("{TIME} no newline")), frame(1, "nonsense\n")];
        let wanted = [line(Stream::Stdout, TIME_NS, "one  two\n"), cut(line(Stream::Stderr, TIME_NS, "no newline\n"))];
        assert_eq!(lines.take(&bytes.concat()), wanted);
    }

    #[test]
    fn what_a_terminal_shows_is_cut_at_newlines_and_where_the_engine_cut_it() {
        let mut lines = Lines::of(true);
        let long = "x".repeat(ENGINE_CUT_BYTES);
        let bytes = format!("{TIME} a\r\n{TIME} {long}{TIME} rest\n{TIME} begun");
        let wanted = [
            line(Stream::Stdout, TIME_NS, "a\r\n"),
            cut(line(Stream::Stdout, TIME_NS, &format!("{long}\n"))),
            line(Stream::Stdout, TIME_NS, "rest\n"),
        ];
        let told: Vec<Line> = bytes.as_bytes().chunks(1000).flat_map(|part| lines.take(part)).collect();
        assert_eq!(told, wanted);
    }
}
