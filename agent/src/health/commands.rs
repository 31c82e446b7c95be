//! The health commands of this host's containers: one task for all of them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::Instant;

use super::kept;
use super::patience::{Late, within};
use super::rota::{Rota, Turn, Verdicts};
use crate::reconcile::{Shown, now_ms as unix_ms};
use crate::runtime::{ExecOutput, Runtimes};

/// Commands under way at a time: each is processes of its own.
const COMMANDS_MAX: usize = 16;
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
        let has_news = tokio::select! {
            changed = shown.changed() => {
                if changed.is_err() {
                    return;
                }
                let now = shown.borrow_and_update().clone();
                match &now.desired {
                    Some(desired) if now.is_observed => {
                        let known = verdicts.borrow().clone();
                        rota.follow(&desired.units, &now.observed.units, &known, now_ms(), unix_ms())
                    }
                    _ => false,
                }
            }
            Some((turn, result)) = turns.next() => rota.done(&turn, result, now_ms()),
            () = tokio::time::sleep_until(started + Duration::from_millis(next.unwrap_or(base_ms) - base_ms)), if next.is_some() => false,
        };
        if has_news {
            let now = rota.verdicts();
            if let Err(error) = kept::save(&data_dir, &now) {
                tracing::warn!("remember how units are in {}: {error}", data_dir.display());
            }
            verdicts.send_replace(now);
        }
    }
}

/// Runs the command in the unit. Errors with the reason in words. What still runs when its time is over is killed.
async fn take(runtimes: &Runtimes, turn: &Turn) -> Result<(), String> {
    let mut output = Vec::new();
    let limit = Duration::from_millis(turn.timeout_ms);
    let mut ended = within(limit, execute(runtimes, turn, &mut output)).await;
    if ended == Err(Late::WeSlept) {
        output.clear();
        ended = within(limit, execute(runtimes, turn, &mut output)).await;
    }
    let what = match ended {
        Ok(Ok(0)) => return Ok(()),
        Ok(Ok(code)) => format!("exited with code {code}"),
        Ok(Err(reason)) => reason,
        Err(_) => format!("no answer within {} ms", turn.timeout_ms),
    };
    Err(match last_line(&output) {
        line if line.is_empty() => what,
        line => format!("{what}: {line}"),
    })
}

async fn execute(runtimes: &Runtimes, turn: &Turn, output: &mut Vec<u8>) -> Result<i32, String> {
    let session = runtimes.check(&turn.unit, &turn.argv).await;
    let mut session = session.map_err(|error| error.reason().to_owned())?;
    while let Some(piece) = session.output.recv().await {
        match piece {
            ExecOutput::Stdout(bytes) | ExecOutput::Stderr(bytes) => {
                output.extend_from_slice(&bytes);
                output.drain(..output.len().saturating_sub(OUTPUT_KEPT_BYTES));
            }
            ExecOutput::Exited(code) => return Ok(code),
        }
    }
    Err("it ended without a code".into())
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
}
