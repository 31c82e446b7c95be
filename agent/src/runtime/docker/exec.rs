//! A command in a container: bytes in, bytes out, and its code.
//!
//! The engine starts commands, connects them and keeps their codes. It has no call that waits for one, and none that
//! ends one: its first process ([`Leader`]) is watched and signalled by the kernel.

use std::sync::Arc;
use std::time::Duration;

use bollard::models::{ExecConfig, ExecInspectResponse};
use bollard::query_parameters::ResizeExecOptions;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, WriteHalf, split};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep, timeout};

use super::engine::{Engine, EngineError, LOOK_LIMIT};
use super::framing::Framing;
use super::output::drain;
use super::processes::{Leader, kill_rest};
use super::wire;
use crate::runtime::{Command, ExecInput, ExecOutput, ExecSession, NotStarted};

/// Pieces on their way in either direction; a slow side makes the other wait.
const PIECES_IN_FLIGHT: usize = 16;
/// What a command that has ended left running may still say in this time; it may hold the output open for ever.
const LINGER: Duration = Duration::from_millis(500);
/// A loaded host starts a command within this.
const BEGIN_LIMIT: Duration = Duration::from_secs(60);
/// The engine hears of an end a moment after the kernel.
const CODE_LIMIT: Duration = Duration::from_secs(10);
/// How long a command that nobody wants any more, and of which the engine does not say whether it began, is looked for.
const BURY_LIMIT: Duration = Duration::from_secs(600);
/// Between two looks, doubling up to the longest.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
const LOOK_AGAIN_LONGEST: Duration = Duration::from_secs(1);
/// Code of a command whose end nobody can tell, as a holder that was killed leaves it.
const CODE_UNKNOWN: i32 = 137;
/// How much is read of why a command was not started.
const WORDS_MAX_BYTES: usize = 4 << 10;

/// Runs it in the running container `id`. A check is there as soon as the engine knows of it, so that its time limit
/// counts what it takes; what it was not started for is then its output.
pub(super) async fn open(engine: &Engine, id: &str, command: Command<'_>) -> Result<ExecSession, NotStarted> {
    let run = Run {
        engine: engine.clone(),
        container: id.to_owned(),
        exec: create(engine, id, command).await.map_err(|error| not_started(in_place(error, id)))?,
        terminal: command.terminal,
        is_check: command.is_check,
    };
    let (input, inputs) = mpsc::channel(PIECES_IN_FLIGHT);
    let (outputs, output) = mpsc::channel(PIECES_IN_FLIGHT);
    let (begun, has_begun) = oneshot::channel();
    tokio::spawn(run.attend(inputs, outputs, begun));
    if !command.is_check {
        let ended = || NotStarted::NotAsked("the agent is ending".into());
        has_begun.await.map_err(|_| ended())??;
    }
    Ok(ExecSession { input, output })
}

async fn create(engine: &Engine, id: &str, command: Command<'_>) -> Result<String, EngineError> {
    let config = ExecConfig {
        attach_stdin: Some(!command.is_check),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        tty: Some(command.terminal.is_some()),
        cmd: Some(command.argv.to_vec()),
        // Engines before 23 do not know it: there a command may see a terminal without a size for a moment.
        console_size: command.terminal.map(|(rows, columns)| vec![usize::from(rows), usize::from(columns)]),
        ..ExecConfig::default()
    };
    let made = engine.ask(LOOK_LIMIT, |docker| async move { docker.create_exec(id, config).await }).await?;
    Ok(made.id)
}

/// People know the container by another name.
fn in_place(error: EngineError, id: &str) -> EngineError {
    match error {
        EngineError::Refused { code, words } => {
            EngineError::Refused { code, words: words.replace(&format!("Container {id}"), "the container") }
        }
        other => other,
    }
}

fn not_started(error: EngineError) -> NotStarted {
    match error {
        // 404: it is gone; 409: it does not run; 400: this cannot be run.
        EngineError::Refused { code: 400..=499, words } => NotStarted::Refused(words),
        other => NotStarted::NotAsked(other.to_string()),
    }
}

/// One command the engine knows.
struct Run {
    engine: Engine,
    container: String,
    exec: String,
    /// Rows, columns.
    terminal: Option<(u16, u16)>,
    is_check: bool,
}

/// What became of a start.
enum Begun {
    Running(Watched),
    /// There never was a process; the reason is in the output.
    Failed,
    /// The engine does not say.
    Unknown(EngineError),
}

/// How the end of a command that was started is noticed.
enum Watched {
    /// By the kernel.
    Leader(Leader),
    /// It has ended; this was its first process.
    Ended(u32),
    /// Its processes are not to be seen from here: by the engine, which is asked.
    Unseen,
}

type Connection = TokioIo<Upgraded>;
type Told = oneshot::Sender<Result<(), NotStarted>>;

impl Run {
    async fn attend(self, inputs: mpsc::Receiver<ExecInput>, outputs: mpsc::Sender<ExecOutput>, told: Told) {
        let start = serde_json::json!({"Detach": false, "Tty": self.terminal.is_some()}).to_string();
        let path = format!("/exec/{}/start", self.exec);
        let connection = match wire::upgrade(&self.engine, &path, start).await {
            Ok(connection) => connection,
            Err(error) => {
                let may_have_begun = matches!(error, EngineError::Silent(_));
                let _ = told.send(Err(not_started(error)));
                drop(outputs);
                if may_have_begun {
                    self.bury().await;
                }
                return;
            }
        };
        match self.begun(BEGIN_LIMIT).await {
            Begun::Running(watched) => self.converse(connection, watched, inputs, outputs, told).await,
            Begun::Failed => {
                let reason = self.why(connection).await;
                if self.is_check {
                    let _ = outputs.send(ExecOutput::Stderr(reason.clone().into_bytes())).await;
                    let _ = outputs.send(ExecOutput::Exited(self.code().await)).await;
                }
                let _ = told.send(Err(NotStarted::Refused(reason)));
            }
            Begun::Unknown(error) => {
                let _ = told.send(Err(not_started(error)));
                drop(outputs);
                self.bury().await;
            }
        }
    }

    /// Waits until it runs, or is known not to.
    async fn begun(&self, limit: Duration) -> Begun {
        let deadline = Instant::now() + limit;
        let mut wait = LOOK_AGAIN;
        loop {
            // The engine answers this when the command was started, with or without a terminal to resize.
            let (rows, columns) = self.terminal.unwrap_or((24, 80));
            let resized = self.resize(rows, columns).await;
            let error = match self.look().await {
                Ok(told) => match (told.pid.and_then(|pid| u32::try_from(pid).ok()), told.exit_code) {
                    (None | Some(0), Some(_)) => return Begun::Failed,
                    (Some(pid @ 1..), Some(_)) => return Begun::Running(Watched::Ended(pid)),
                    (Some(pid @ 1..), None) => {
                        let leader = Leader::of(pid, &self.container);
                        return Begun::Running(leader.map_or(Watched::Unseen, Watched::Leader));
                    }
                    _ => resized.err().unwrap_or_else(|| EngineError::Silent("the command does not begin".into())),
                },
                Err(error) => error,
            };
            if error.is_missing() || Instant::now() >= deadline {
                return Begun::Unknown(error);
            }
            sleep(wait).await;
            wait = LOOK_AGAIN_LONGEST.min(wait * 2);
        }
    }

    async fn look(&self) -> Result<ExecInspectResponse, EngineError> {
        self.engine.ask(LOOK_LIMIT, |docker| async move { docker.inspect_exec(&self.exec).await }).await
    }

    async fn resize(&self, rows: u16, columns: u16) -> Result<(), EngineError> {
        let size = ResizeExecOptions { h: i32::from(rows), w: i32::from(columns) };
        self.engine.ask(LOOK_LIMIT, |docker| async move { docker.resize_exec(&self.exec, size).await }).await
    }

    /// Why it was not started: the engine says so where its output would be.
    async fn why(&self, mut connection: Connection) -> String {
        let mut words = Vec::new();
        let mut framing = Framing::default();
        let mut buffer = vec![0; WORDS_MAX_BYTES];
        while words.len() < WORDS_MAX_BYTES
            && let Ok(Ok(count @ 1..)) = timeout(LINGER, connection.read(&mut buffer)).await
        {
            let bytes = buffer.get(..count).unwrap_or_default();
            match self.terminal {
                Some(_) => words.extend_from_slice(bytes),
                None => framing.split(bytes).iter().for_each(|piece| words.extend_from_slice(piece.bytes)),
            }
        }
        in_short(&String::from_utf8_lossy(&words))
    }

    /// Carries input and output until the command has ended, or nobody listens.
    async fn converse(
        self,
        connection: Connection,
        watched: Watched,
        inputs: mpsc::Receiver<ExecInput>,
        outputs: mpsc::Sender<ExecOutput>,
        told: Told,
    ) {
        let run = Arc::new(self);
        let (read, write) = split(connection);
        let (live, over) = watch::channel(());
        let framing = run.terminal.is_none().then(Framing::default);
        let mut reader = tokio::spawn(drain(read, framing, outputs.clone(), over));
        let writer = tokio::spawn(run.clone().feed(write, inputs));
        let _ = told.send(Ok(()));
        let has_ended = tokio::select! {
            () = outputs.closed() => false,
            has_ended = run.ended(&watched, &mut reader) => has_ended,
        };
        // It may wait for somebody to read what nobody will.
        writer.abort();
        if has_ended && !reader.is_finished() && timeout(LINGER, &mut reader).await.is_err() {
            drop(live);
            let _ = reader.await;
        } else {
            reader.abort();
        }
        let code = if has_ended { run.code().await } else { CODE_UNKNOWN };
        run.clear_up(watched, has_ended).await;
        let _ = outputs.send(ExecOutput::Exited(code)).await;
    }

    /// True when the command has ended; false when the engine carries nothing of it any more although it may run.
    async fn ended(&self, watched: &Watched, reader: &mut JoinHandle<()>) -> bool {
        match watched {
            Watched::Ended(_) => true,
            Watched::Unseen => {
                while timeout(LOOK_AGAIN_LONGEST, &mut *reader).await.is_err() {
                    if self.look().await.is_ok_and(|told| told.exit_code.is_some()) {
                        break;
                    }
                }
                true
            }
            Watched::Leader(leader) => {
                tokio::select! {
                    () = leader.ended() => return true,
                    _ = reader => {}
                }
                // It is about to end, or has closed its streams, or the engine was restarted.
                if timeout(LINGER, leader.ended()).await.is_ok() {
                    return true;
                }
                let goes_on = self.look().await.is_ok();
                if goes_on {
                    leader.ended().await;
                }
                goes_on
            }
        }
    }

    /// The code of a command that has ended.
    async fn code(&self) -> i32 {
        let deadline = Instant::now() + CODE_LIMIT;
        let mut wait = LOOK_AGAIN;
        while let Ok(told) = self.look().await {
            if let Some(code) = told.exit_code {
                return i32::try_from(code).unwrap_or(CODE_UNKNOWN);
            }
            if Instant::now() >= deadline {
                break;
            }
            sleep(wait).await;
            wait = LOOK_AGAIN_LONGEST.min(wait * 2);
        }
        CODE_UNKNOWN
    }

    /// Ends what nobody wants any more.
    async fn clear_up(&self, watched: Watched, has_ended: bool) {
        let (is_check, container) = (self.is_check, self.container.clone());
        let work = move || match watched {
            Watched::Leader(leader) if has_ended && is_check => kill_rest(leader.pid(), &container),
            Watched::Ended(pid) if is_check => kill_rest(pid, &container),
            Watched::Leader(leader) if !has_ended && is_check => leader.kill(),
            Watched::Leader(leader) if !has_ended => leader.hang_up(),
            _ => {}
        };
        // Processes are looked through.
        let _ = spawn_blocking(work).await;
    }

    /// Nobody wants the command any more, and it may have begun, or begin when the engine comes to it.
    async fn bury(self) {
        match self.begun(BURY_LIMIT).await {
            Begun::Running(watched) => self.clear_up(watched, false).await,
            Begun::Failed => {}
            Begun::Unknown(error) => tracing::debug!(container = self.container, %error, "a command is given up"),
        }
    }

    async fn feed(self: Arc<Self>, mut write: WriteHalf<Connection>, mut inputs: mpsc::Receiver<ExecInput>) {
        let is_terminal = self.terminal.is_some();
        while let Some(input) = inputs.recv().await {
            let written = match input {
                ExecInput::Bytes(bytes) => write.write_all(&bytes).await,
                // Ctrl-D: a terminal cannot be closed in one direction.
                ExecInput::End if is_terminal => write.write_all(&[4]).await,
                ExecInput::End => break,
                ExecInput::Resize(rows, columns) if is_terminal => {
                    // A command that ends at this moment has no size.
                    let _ = self.resize(rows, columns).await;
                    Ok(())
                }
                ExecInput::Resize(..) => Ok(()),
            };
            if written.is_err() {
                return;
            }
        }
        if !is_terminal {
            let _ = write.shutdown().await;
        }
        // The connection has one end for both directions.
        std::future::pending::<()>().await;
    }
}

/// Of the words of engine, containerd and runc the part a user can act on.
fn in_short(words: &str) -> String {
    let words = words.trim();
    let inner = words.rsplit_once("unable to start container process: ").map_or(words, |(_, inner)| inner);
    inner.strip_suffix(": unknown").unwrap_or(inner).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_a_command_was_not_started_is_said_in_short() {
        let words = "OCI runtime exec failed: exec failed: unable to start container process: exec: \"foo\": executable file \
                     not found in $PATH: unknown\r\n";
        assert_eq!(in_short(words), "exec: \"foo\": executable file not found in $PATH");
        assert_eq!(in_short("something else\n"), "something else");
    }
}
