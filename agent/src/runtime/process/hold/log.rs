//! The log: what the process writes, line by line, with time and stream, in files of limited size.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::now_ms;

/// When the file is rotated: 3 x 10 MB per unit is what a host with 200 units can spare (6 GB).
const FILE_MAX_BYTES: u64 = 10 << 20;
/// `log`, `log.1`, `log.2`.
const FILES: u32 = 3;
/// A longer line is cut into several.
const LINE_MAX_BYTES: usize = 16 << 10;
/// How much of a line goes into the reason of an exit.
const REASON_MAX_CHARS: usize = 200;
/// How many of the last lines go into it.
const REASON_LINES: usize = 10;

/// Which stream of the process a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Stdout,
    Stderr,
}

impl Source {
    fn mark(self) -> char {
        match self {
            Self::Stdout => 'o',
            Self::Stderr => 'e',
        }
    }
}

/// The log of one unit.
pub(crate) struct Log {
    path: PathBuf,
    file: BufWriter<File>,
    len_bytes: u64,
    /// Lines begun and not ended, by stream.
    partial: [Vec<u8>; 2],
    /// The last lines that say something, oldest first, cut.
    last_lines: VecDeque<Vec<u8>>,
}

impl Log {
    pub(crate) fn open(path: PathBuf) -> io::Result<Log> {
        let file = File::options().create(true).append(true).open(&path)?;
        let len_bytes = file.metadata()?.len();
        // Small: the log is flushed after each read, the buffer only joins its pieces.
        let file = BufWriter::with_capacity(4 << 10, file);
        Ok(Log { path, file, len_bytes, partial: [Vec::new(), Vec::new()], last_lines: VecDeque::new() })
    }

    /// Takes what was read from a stream.
    pub(crate) fn take(&mut self, source: Source, bytes: &[u8]) -> io::Result<()> {
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            let mut partial = std::mem::take(&mut self.partial[source as usize]);
            partial.extend_from_slice(piece);
            while partial.len() > LINE_MAX_BYTES {
                let rest = partial.split_off(LINE_MAX_BYTES);
                self.write_line(source, &partial)?;
                partial = rest;
            }
            if partial.ends_with(b"\n") {
                partial.pop();
                self.write_line(source, &partial)?;
                partial.clear();
            }
            self.partial[source as usize] = partial;
        }
        self.file.flush()
    }

    /// The streams ended: what has no newline is a line too.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        for source in [Source::Stdout, Source::Stderr] {
            let partial = std::mem::take(&mut self.partial[source as usize]);
            if !partial.is_empty() {
                self.write_line(source, &partial)?;
            }
        }
        self.file.flush()
    }

    /// The last lines written, oldest first, short enough for a reason.
    pub(crate) fn last_lines(&self) -> Vec<String> {
        let short = |line: &Vec<u8>| String::from_utf8_lossy(line).trim().chars().take(REASON_MAX_CHARS).collect();
        self.last_lines.iter().map(short).collect()
    }

    pub(crate) fn forget_last_lines(&mut self) {
        self.last_lines.clear();
    }

    fn write_line(&mut self, source: Source, line: &[u8]) -> io::Result<()> {
        let head = format!("{} {} ", now_ms(), source.mark());
        let len_bytes = (head.len() + line.len() + 1) as u64;
        if self.len_bytes > 0 && self.len_bytes + len_bytes > FILE_MAX_BYTES {
            self.rotate()?;
        }
        self.file.write_all(head.as_bytes())?;
        self.file.write_all(line)?;
        self.file.write_all(b"\n")?;
        self.len_bytes += len_bytes;
        if !line.iter().all(u8::is_ascii_whitespace) {
            if self.last_lines.len() == REASON_LINES {
                self.last_lines.pop_front();
            }
            self.last_lines.push_back(line.get(..4 * REASON_MAX_CHARS).unwrap_or(line).to_vec());
        }
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.file.flush()?;
        for age in (1..FILES).rev() {
            let (from, to) = (aged(&self.path, age - 1), aged(&self.path, age));
            match fs::rename(&from, &to) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        let file = File::options().create(true).append(true).open(&self.path)?;
        self.file = BufWriter::with_capacity(4 << 10, file);
        self.len_bytes = 0;
        Ok(())
    }
}

/// `log` for age 0, `log.1` for 1, ...
pub(crate) fn aged(path: &Path, age: u32) -> PathBuf {
    if age == 0 { path.to_path_buf() } else { path.with_extension(age.to_string()) }
}

/// Oldest first.
pub(crate) fn files(path: &Path) -> Vec<PathBuf> {
    (0..FILES).rev().map(|age| aged(path, age)).filter(|p| p.exists()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_in(dir: &Path) -> Log {
        Log::open(dir.join("log")).unwrap()
    }

    #[test]
    fn a_line_written_in_pieces_is_one_line() {
        let dir = tempfile_dir("pieces");
        let mut log = log_in(&dir);
        log.take(Source::Stdout, b"hel").unwrap();
        log.take(Source::Stderr, b"oops\n").unwrap();
        log.take(Source::Stdout, b"lo\nlast").unwrap();
        log.finish().unwrap();
        let text = fs::read_to_string(dir.join("log")).unwrap();
        let lines: Vec<&str> = text.lines().map(|l| l.split_once(' ').unwrap().1).collect();
        assert_eq!(lines, ["e oops", "o hello", "o last"]);
        assert_eq!(log.last_lines(), ["oops", "hello", "last"]);
        log.take(Source::Stdout, b"1\n2\n3\n4\n5\n6\n7\n8\n9\n\n10\n").unwrap();
        assert_eq!(log.last_lines(), ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"]);
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_full_log_is_rotated_and_the_oldest_is_dropped() {
        let dir = tempfile_dir("rotate");
        let mut log = log_in(&dir);
        let line = [vec![b'x'; LINE_MAX_BYTES - 1], vec![b'\n']].concat();
        let lines = 4 * FILE_MAX_BYTES as usize / line.len();
        for _ in 0..lines {
            log.take(Source::Stdout, &line).unwrap();
        }
        assert_eq!(files(&dir.join("log")).len(), FILES as usize);
        for file in files(&dir.join("log")) {
            assert!(fs::metadata(file).unwrap().len() <= FILE_MAX_BYTES);
        }
        fs::remove_dir_all(dir).unwrap();
    }

    fn tempfile_dir(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("remuda-log-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        dir
    }
}
