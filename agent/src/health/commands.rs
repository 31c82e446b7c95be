//! The health commands of this host's containers: one task for all of them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::kept;
use super::patience::{Late, within};
use super::rota::{Rota, Turn, Verdicts};
use crate::reconcile::{Shown, now_ms as unix_ms};
use crate::runtime::{ExecOutput, NotStarted, Runtimes};

/// Commands under way at a time, at most one of each unit: as many that hang must not delay the others' much.
const COMMANDS_MAX: usize = 256;
/// A holder or an engine that lives takes a command at once; a loaded host may take a moment.
const ASK_LIMIT: Duration = Duration::from_secs(20);
/// How much of a command's output is looked at for its last line, bytes.
const OUTPUT_KEPT_BYTES: usize = 1 << 10;
/// How much of its last line goes into a reason.
const REASON_MAX_CHARS: usize = 200;

/// Runs commands until the agent ends. `verdicts` begins with what an agent before knew ([`kept::load`]); its watchers
/// are woken when the health of any unit changed.
pub async fn run(
    mut shown: watch::Receiver<Arc<Shown>>,
    runtimes: Arc<Runtimes>,
    data_dir: PathBuf,
    verdicts: watch::Sender<Verdicts>,
) {
    let started = Instant::now();
    // Never goes back, and begins late enough for units that are older than this agent.
    let base_ms = unix_ms();
    let now_ms = || base_ms + started.elapsed().as_millis() as u64;
    let mut rota = Rota::default();
    let mut turns = FuturesUnordered::new();
    shown.mark_changed();
    loop {
        while turns.len() < COMMANDS_MAX
            && let Some(turn) = rota.begin(now_ms())
        {
            let runtimes = runtimes.clone();
            turns.push(async move {
                let result = take(&runtimes, &turn).await;
                (turn, result)
            });
        }
        let next = rota.next_ms().filter(|_| turns.len() < COMMANDS_MAX);
        // Whether a verdict came, went or changed; None: nothing was heard.
        let news = tokio::select! {
            changed = shown.changed() => {
                if changed.is_err() {
                    return;
                }
                let now = shown.borrow_and_update().clone();
                match &now.desired {
                    Some(desired) if now.is_observed => {
                        let known = verdicts.borrow().clone();
                        Some(rota.follow(&desired.units, &now.observed.units, &known, now_ms(), unix_ms()))
                    }
                    _ => None,
                }
            }
            Some((turn, result)) = turns.next() => match result {
                Some(result) => Some(rota.done(&turn, result, now_ms())),
                None => {
                    rota.put_back(&turn, now_ms());
                    None
                }
            },
            () = tokio::time::sleep_until(started + Duration::from_millis(next.unwrap_or(base_ms) - base_ms)), if next.is_some() => None,
        };
        let Some(has_changed) = news else { continue };
        let now = rota.verdicts();
        if has_changed && let Err(error) = kept::save(&data_dir, &now) {
            tracing::warn!("remember how units are in {}: {error}", data_dir.display());
        }
        // A reason alone wakes nobody; it is seen at the next look.
        verdicts.send_if_modified(|all| {
            *all = now;
            has_changed
        });
    }
}

/// Runs the command in the unit. Errors with the reason in words; None if nobody could be asked, which says nothing
/// about the unit. What still runs when its time is over is killed.
async fn take(runtimes: &Runtimes, turn: &Turn) -> Option<Result<(), String>> {
    let mut output = Output::default();
    let mut ended = execute(runtimes, turn, &mut output).await;
    if ended == Err(NotHeard::Late(Late::WeSlept)) {
        output = Output::default();
        ended = execute(runtimes, turn, &mut output).await;
    }
    let what = match ended {
        Ok(0) => return Some(Ok(())),
        Ok(code) => format!("exited with code {code}"),
        Err(NotHeard::NotStarted(NotStarted::Refused(reason))) => reason,
        Err(NotHeard::NotStarted(NotStarted::NotAsked(reason))) => {
            tracing::debug!(unit = turn.unit, reason, "the health command could not be run");
            return None;
        }
        Err(NotHeard::Late(_)) => format!("no answer within {} ms", turn.timeout_ms),
    };
    Some(Err(match output.last_words() {
        line if line.is_empty() => what,
        line => format!("{what}: {line}"),
    }))
}

/// Why a command has no code.
#[derive(Debug, PartialEq, Eq)]
enum NotHeard {
    NotStarted(NotStarted),
    Late(Late),
}

/// Its time is counted from when it was asked for: an engine or a holder that hangs says nothing about the unit.
async fn execute(runtimes: &Runtimes, turn: &Turn, output: &mut Output) -> Result<i32, NotHeard> {
    let not_asked = |reason: &str| NotHeard::NotStarted(NotStarted::NotAsked(reason.into()));
    let asked = timeout(ASK_LIMIT, runtimes.check(&turn.unit, &turn.argv)).await;
    let mut pieces = asked.map_err(|_| not_asked("nobody answers"))?.map_err(NotHeard::NotStarted)?;
    let heard = async {
        while let Some(piece) = pieces.recv().await {
            match piece {
                ExecOutput::Stdout(bytes) => keep(&mut output.stdout, &bytes),
                ExecOutput::Stderr(bytes) => keep(&mut output.stderr, &bytes),
                ExecOutput::Exited(code) => return Some(code),
            }
        }
        None
    };
    let code = within(Duration::from_millis(turn.timeout_ms), heard).await.map_err(NotHeard::Late)?;
    code.ok_or_else(|| not_asked("it ended without a code"))
}

/// The end of what a command wrote. The two streams come in no order between them.
#[derive(Default)]
struct Output {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Output {
    /// Of the stream for complaints, if there is any; empty when it wrote nothing.
    fn last_words(&self) -> String {
        match last_line(&self.stderr) {
            nothing if nothing.is_empty() => last_line(&self.stdout),
            line => line,
        }
    }
}

fn keep(kept: &mut Vec<u8>, bytes: &[u8]) {
    kept.extend_from_slice(bytes);
    kept.drain(..kept.len().saturating_sub(OUTPUT_KEPT_BYTES));
}

fn last_line(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let last = text.lines().map(str::trim).rfind(|line| !line.is_empty());
    last.unwrap_or_default().chars().filter(|c| !c.is_control()).take(REASON_MAX_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_that_says_something_is_the_reason() {
        assert_eq!(last_line(b"one\ncannot reach the database\n\n  \n"), "cannot reach the database");
        assert_eq!(last_line(b""), "");
        assert_eq!(last_line(&[b'x'; 900]).len(), REASON_MAX_CHARS);
    }

    #[test]
    fn a_complaint_is_the_reason_in_whatever_order_the_streams_came() {
        let both = Output { stdout: b"looking\n".into(), stderr: b"not well\n".into() };
        assert_eq!(both.last_words(), "not well");
        assert_eq!(Output { stdout: b"looking\n".into(), ..Output::default() }.last_words(), "looking");
    }

    #[tokio::test]
    async fn a_holder_that_does_not_answer_says_nothing_about_its_unit() {
        let dir = std::env::temp_dir().join(format!("remuda-commands-{}", std::process::id()));
        let runtimes = Runtimes::with_program(&dir, "/bin/false".as_ref()).await.expect("a data directory");
        let turn = Turn::new("shop-web-1", &["true".to_owned()]);
        assert_eq!(take(&runtimes, &turn).await, None);
        std::fs::remove_dir_all(&dir).expect("it was there");
    }
}
