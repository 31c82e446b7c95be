//! Reading a unit's log: the last lines, then what comes, across rotations.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

use super::hold::log_files;
use crate::runtime::descriptor::watched;
use crate::runtime::{LogChunk, Stream};

/// Lines on their way to a reader; a slow one makes the reading wait, never the unit.
const LINES_IN_FLIGHT: usize = 256;

/// Starts reading; the channel closes at the end, or when the unit is removed.
pub(super) fn read(path: &Path, follow: bool, tail: u32) -> io::Result<mpsc::Receiver<LogChunk>> {
    let (sender, receiver) = mpsc::channel(LINES_IN_FLIGHT);
    let watch = if follow { Some(Watch::of(path)?) } else { None };
    let mut reader = Reader { path: path.to_path_buf(), file: None };
    let lines = reader.last_lines(tail)?;
    tokio::spawn(async move {
        for line in lines {
            if sender.send(line).await.is_err() {
                return;
            }
        }
        if let Some(watch) = watch {
            let _ = follow_from(reader, watch, sender).await;
        }
    });
    Ok(receiver)
}

async fn follow_from(mut reader: Reader, watch: Watch, sender: mpsc::Sender<LogChunk>) -> io::Result<()> {
    loop {
        for line in reader.new_lines()? {
            if sender.send(line).await.is_err() {
                return Ok(());
            }
        }
        tokio::select! {
            () = sender.closed() => return Ok(()),
            changed = watch.changed() => changed?,
        }
        if !reader.path.parent().is_some_and(Path::exists) {
            return Ok(());
        }
    }
}

struct Reader {
    path: PathBuf,
    /// The current file, read up to its last whole line.
    file: Option<(BufReader<File>, Vec<u8>)>,
}

impl Reader {
    /// The last `tail` lines (0 = all), leaving the current file at its end.
    fn last_lines(&mut self, tail: u32) -> io::Result<VecDeque<LogChunk>> {
        let limit = if tail == 0 { usize::MAX } else { tail as usize };
        let mut last = VecDeque::new();
        for path in log_files(&self.path) {
            let mut file = (BufReader::new(File::open(&path)?), Vec::new());
            while let Some(line) = next_line(&mut file)? {
                last.extend(parse(&line));
                if last.len() > limit {
                    last.pop_front();
                }
            }
            if path == self.path {
                self.file = Some(file);
            }
        }
        Ok(last)
    }

    /// Whole lines since the last reading; a rotated file is read to its end first.
    fn new_lines(&mut self) -> io::Result<Vec<LogChunk>> {
        let mut lines = Vec::new();
        loop {
            if let Some(file) = &mut self.file {
                while let Some(line) = next_line(file)? {
                    lines.extend(parse(&line));
                }
            }
            match File::open(&self.path) {
                Ok(file) if !self.is_current(&file)? => self.file = Some((BufReader::new(file), Vec::new())),
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => return Ok(lines),
            }
        }
    }

    fn is_current(&self, file: &File) -> io::Result<bool> {
        let Some((open, _)) = &self.file else { return Ok(false) };
        Ok(open.get_ref().metadata()?.ino() == file.metadata()?.ino())
    }
}

/// A whole line without its newline; what is not whole yet is kept for the next call.
fn next_line((reader, partial): &mut (BufReader<File>, Vec<u8>)) -> io::Result<Option<Vec<u8>>> {
    // The writer cuts lines at 16 KB: more than this is no log of ours.
    let mut limited = reader.by_ref().take(64 << 10);
    limited.read_until(b'\n', partial)?;
    if !partial.ends_with(b"\n") {
        return Ok(None);
    }
    Ok(Some(std::mem::take(partial)))
}

/// `TIME o TEXT\n`; a damaged line is left out.
fn parse(line: &[u8]) -> Option<LogChunk> {
    let mut parts = line.splitn(3, |b| *b == b' ');
    let time_ms = std::str::from_utf8(parts.next()?).ok()?.parse().ok()?;
    let stream = match parts.next()? {
        b"o" => Stream::Stdout,
        b"e" => Stream::Stderr,
        _ => return None,
    };
    Some(LogChunk { stream, time_ms, bytes: parts.next()?.to_vec() })
}

/// Tells when anything in the log's directory was written, rotated or removed.
struct Watch {
    inotify: AsyncFd<OwnedFd>,
}

impl Watch {
    fn of(log: &Path) -> io::Result<Watch> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let events = AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_DELETE_SELF;
        inotify.add_watch(log.parent().unwrap_or(Path::new("/")), events)?;
        Ok(Watch { inotify: watched(inotify.into())? })
    }

    async fn changed(&self) -> io::Result<()> {
        let mut ready = self.inotify.readable().await?;
        // What changed does not matter: the reader looks for itself.
        let _ = nix::unistd::read(self.inotify.get_ref(), &mut [0; 4096]);
        ready.clear_ready();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_with_its_time_and_stream() {
        let line = parse(b"1700000000123 e something  broke\n");
        let wanted =
            LogChunk { stream: Stream::Stderr, time_ms: 1_700_000_000_123, bytes: b"something  broke\n".to_vec() };
        assert_eq!(line, Some(wanted));
        assert_eq!(parse(b"nonsense\n"), None);
    }
}
