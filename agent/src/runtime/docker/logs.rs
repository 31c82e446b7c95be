//! Reading a container's log: the last lines, then what comes, across rotations, restarts of the container and of the
//! engine.
//!
//! The engine ends its answer when the container ends, and loses it when it is itself restarted; then the reading goes on
//! after the last line that was passed on ([`Place`]). It is over when the container is removed, or nobody listens.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use bollard::models::ContainerInspectResponse;
use tokio::sync::mpsc;

use super::engine::{Engine, EngineError, LOOK_LIMIT};
use super::lines::{Line, Lines};
use super::wire::{self, Pieces};
use crate::runtime::process::hold::now_ms;
use crate::runtime::{Log, LogChunk, Stream};

/// Lines on their way to a reader; a slow one makes the reading wait, never the container.
const LINES_IN_FLIGHT: usize = 256;
/// An engine that is away is looked for again after this, doubling up to the longest: it may be away for long.
const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_LONGEST: Duration = Duration::from_secs(5);
/// Lines an engine may say again.
const REPEATED_MAX: usize = 4096;
/// How much of a line goes into the reason of an exit.
const REASON_MAX_CHARS: usize = 200;

/// The last `tail` lines (0 = all kept) of a container's output, then new ones while `follow`.
pub(super) async fn read(engine: &Engine, id: &str, follow: bool, tail: u32) -> Result<Log, String> {
    let look = look(engine, id).await.map_err(|error| error.to_string())?;
    let tail = if tail == 0 { "all".to_owned() } else { tail.to_string() };
    let pieces = ask(engine, id, follow, &format!("&tail={tail}")).await.map_err(|error| error.to_string())?;
    let (sender, log) = mpsc::channel(LINES_IN_FLIGHT);
    let reader = Reader { engine: engine.clone(), id: id.to_owned(), place: Place::default(), sender: sender.clone() };
    tokio::spawn(async move {
        tokio::select! {
            () = sender.closed() => {}
            () = reader.run(pieces, look, follow) => {}
        }
    });
    Ok(log)
}

/// The last `count` lines that say something since `since_ms` (Unix milliseconds), oldest first, each cut: for the reason
/// of an exit. Nothing if the engine does not tell.
pub(super) async fn last_lines(engine: &Engine, id: &str, since_ms: u64, count: usize) -> Vec<String> {
    let Ok(look) = look(engine, id).await else { return Vec::new() };
    // Some of them may be blank.
    let query = format!("&tail={}&since={}", 4 * count, seconds(since_ms.saturating_mul(1_000_000)));
    let Ok(mut pieces) = ask(engine, id, false, &query).await else { return Vec::new() };
    let mut lines = Lines::of(look.has_terminal);
    let mut said = Vec::new();
    let all = async {
        while let Some(bytes) = pieces.next().await {
            said.extend(lines.take(&bytes).iter().map(|line| shown(&line.text)).filter(|text| !text.is_empty()));
        }
    };
    // What came is better than nothing.
    let _ = tokio::time::timeout(LOOK_LIMIT, all).await;
    said.split_off(said.len().saturating_sub(count))
}

fn shown(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    text.trim().chars().filter(|c| !c.is_control()).take(REASON_MAX_CHARS).collect()
}

struct Reader {
    engine: Engine,
    id: String,
    place: Place,
    sender: mpsc::Sender<LogChunk>,
}

impl Reader {
    async fn run(mut self, mut pieces: Pieces, mut look: Look, follow: bool) {
        loop {
            let limit = (!follow).then_some(LOOK_LIMIT);
            if self.pass_on(&mut pieces, look.has_terminal, limit).await.is_err() || !follow {
                return;
            }
            let Some((next, answer)) = self.again(&look).await else { return };
            if next == look && next.is_running {
                // The engine ended an answer that had no reason to end.
                tokio::time::sleep(RETRY_FIRST).await;
            }
            (look, pieces) = (next, answer);
            self.place.begin_again();
        }
    }

    /// Until the end of this answer; errors when nobody listens. What is kept comes at once: an engine that is silent for
    /// `limit` hangs, and a reader is told that this is not all.
    async fn pass_on(&mut self, pieces: &mut Pieces, has_terminal: bool, limit: Option<Duration>) -> Result<(), ()> {
        let mut lines = Lines::of(has_terminal);
        loop {
            let next = match limit {
                Some(limit) => tokio::time::timeout(limit, pieces.next()).await,
                None => Ok(pieces.next().await),
            };
            let bytes = match next {
                Ok(Some(bytes)) => bytes,
                Ok(None) => break,
                Err(_) => return self.sender.send(self.not_all()).await.map_err(drop),
            };
            for line in lines.take(&bytes) {
                if self.place.is_new(&line) {
                    self.sender.send(line.chunk()).await.map_err(drop)?;
                }
            }
        }
        Ok(())
    }

    fn not_all(&self) -> LogChunk {
        let words = format!("remuda: {} gave no more of this log within {LOOK_LIMIT:?}\n", self.engine.name());
        LogChunk { stream: Stream::Stderr, time_ms: now_ms(), bytes: words.into_bytes() }
    }

    /// Waits until there may be more than when the container was as `seen`; None when it is gone.
    async fn again(&self, seen: &Look) -> Option<(Look, Pieces)> {
        let mut wait = RETRY_FIRST;
        loop {
            match self.more(seen).await {
                Ok(more) => return Some(more),
                Err(error) if error.is_missing() => return None,
                Err(error) => tracing::debug!(container = self.id, %error, "follow its log later"),
            }
            tokio::time::sleep(wait).await;
            wait = RETRY_LONGEST.min(wait * 2);
        }
    }

    async fn more(&self, seen: &Look) -> Result<(Look, Pieces), EngineError> {
        // Before the look, so that nothing happens between the two.
        let filters = serde_json::json!({"container": [self.id], "event": ["start", "die", "destroy"]}).to_string();
        let mut events = wire::get(&self.engine, &format!("/events?filters={}", escaped(&filters))).await?;
        let mut now = look(&self.engine, &self.id).await?;
        // One that ended is read once more: its last words may have come after the end of the answer.
        while now == *seen && !now.is_running {
            let ended = || EngineError::Silent("the engine ended its events".into());
            events.next().await.ok_or_else(ended)?;
            now = look(&self.engine, &self.id).await?;
        }
        let pieces =
            ask(&self.engine, &self.id, true, &format!("&tail=all&since={}", seconds(self.place.time_ns))).await?;
        Ok((now, pieces))
    }
}

/// What of a container decides whether there is more to read.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Look {
    has_terminal: bool,
    is_running: bool,
    started_at: String,
}

async fn look(engine: &Engine, id: &str) -> Result<Look, EngineError> {
    let told = engine.ask(LOOK_LIMIT, |docker| async move { docker.inspect_container(id, None).await }).await?;
    Ok(Look::of(told))
}

impl Look {
    fn of(told: ContainerInspectResponse) -> Look {
        let state = told.state.unwrap_or_default();
        Look {
            has_terminal: told.config.and_then(|config| config.tty).unwrap_or_default(),
            is_running: state.running.unwrap_or_default(),
            started_at: state.started_at.map(|at| at.to_string()).unwrap_or_default(),
        }
    }
}

async fn ask(engine: &Engine, id: &str, follow: bool, query: &str) -> Result<Pieces, EngineError> {
    let path = format!("/containers/{id}/logs?stdout=1&stderr=1&timestamps=1&follow={}{query}", u8::from(follow));
    wire::get(engine, &path).await
}

/// As the engine wants times: seconds, and nanoseconds as nine digits.
fn seconds(unix_ns: u64) -> String {
    format!("{}.{:09}", unix_ns / 1_000_000_000, unix_ns % 1_000_000_000)
}

/// For a query: everything but letters and digits as %XX.
fn escaped(text: &str) -> String {
    let one =
        |byte: u8| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(one).collect()
}

/// How far a log was passed on.
///
/// The engine is asked again for what is not older than the last line, and repeats, when it rotates a file under its
/// reader, some of what it said (Docker 20.10: what it had read of that file ahead). A line said before is known by its
/// time, which is exact to the nanosecond; pieces of a long line share one, so as many of that instant are left out as
/// were passed on. A line that is merely older was written by a clock that was set back.
#[derive(Debug, Default)]
struct Place {
    time_ns: u64,
    /// Lines of that instant, by stream.
    passed: [u32; 2],
    known: [u32; 2],
    /// The last of them was whole: what has the same time again was said before.
    is_whole: [bool; 2],
    /// When the lines before were written, the newest last.
    past: VecDeque<(u64, usize)>,
    is_past: HashSet<(u64, usize)>,
}

impl Place {
    fn begin_again(&mut self) {
        self.known = self.passed;
    }

    /// Notes the line unless it was passed on before.
    fn is_new(&mut self, line: &Line) -> bool {
        let stream = line.stream as usize;
        if self.is_past.contains(&(line.time_ns, stream)) {
            // What follows leads up to the last line again.
            self.begin_again();
            return false;
        }
        if line.time_ns == self.time_ns && self.known[stream] > 0 {
            self.known[stream] -= 1;
            return false;
        }
        if line.time_ns == self.time_ns && self.is_whole[stream] {
            self.known[stream] = self.passed[stream] - 1;
            return false;
        }
        if line.time_ns != self.time_ns {
            self.go_on(line.time_ns);
        }
        self.passed[stream] += 1;
        self.is_whole[stream] = !line.is_cut;
        true
    }

    fn go_on(&mut self, time_ns: u64) {
        for stream in (0..self.passed.len()).filter(|stream| self.passed[*stream] > 0) {
            self.past.push_back((self.time_ns, stream));
            self.is_past.insert((self.time_ns, stream));
        }
        while self.past.len() > REPEATED_MAX {
            if let Some(oldest) = self.past.pop_front() {
                self.is_past.remove(&oldest);
            }
        }
        (self.time_ns, self.passed, self.known, self.is_whole) = (time_ns, [0; 2], [0; 2], [false; 2]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(stream: Stream, time_ns: u64, text: &str) -> Line {
        Line { stream, time_ns, text: text.into(), is_cut: false }
    }

    #[test]
    fn a_log_that_is_read_again_goes_on_after_the_last_line() {
        let mut place = Place::default();
        let said = [(Stream::Stdout, 1), (Stream::Stdout, 5), (Stream::Stdout, 5), (Stream::Stderr, 5)];
        let mut said = said.map(|(stream, time_ns)| line(stream, time_ns, "\n"));
        // The first of two pieces of one line.
        said[1].is_cut = true;
        assert!(said.iter().all(|line| place.is_new(line)));
        place.begin_again();
        assert_eq!(place.time_ns, 5);
        let again: Vec<bool> = said[1..].iter().map(|line| place.is_new(line)).collect();
        assert_eq!(again, [false; 3]);
        let again: Vec<bool> = said[1..].iter().map(|line| place.is_new(line)).collect();
        assert_eq!(again, [false; 3], "said again in the same answer");
        let more = line(Stream::Stdout, 6, "\n");
        assert!(place.is_new(&more));
        place.begin_again();
        assert!(!place.is_new(&more), "the last one");
    }

    #[test]
    fn what_an_engine_says_again_is_left_out_and_what_a_clock_that_was_set_back_dates_is_not() {
        let mut place = Place::default();
        let lines: Vec<Line> = (1..=9).map(|time_ns| line(Stream::Stdout, 10 * time_ns, "\n")).collect();
        assert!(lines.iter().all(|line| place.is_new(line)));
        let again: Vec<bool> = lines[5..].iter().map(|line| place.is_new(line)).collect();
        assert_eq!(again, [false; 4]);
        assert!(place.is_new(&line(Stream::Stdout, 100, "\n")));
        assert!(place.is_new(&line(Stream::Stdout, 33, "\n")), "an hour back");
        assert!((0..2 * REPEATED_MAX as u64).all(|n| place.is_new(&line(Stream::Stderr, 1000 + n, "\n"))));
        assert!(place.past.len() <= REPEATED_MAX && place.is_past.len() <= REPEATED_MAX);
    }

    #[test]
    fn times_and_filters_are_written_as_the_engine_reads_them() {
        assert_eq!(seconds(1_709_210_096_000_000_007), "1709210096.000000007");
        assert_eq!(escaped(r#"{"a":["b-1"]}"#), "%7B%22a%22%3A%5B%22b%2D1%22%5D%7D");
    }
}
