//! The agent's side of one holder.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::protocol::{Answer, LINE_MAX_BYTES, Request, State, file};
use crate::action::UnitSpec;
use crate::durable;
use crate::runtime::descriptor::watched;

/// A holder answers at once; one that does not is stopped or swapped out, and somebody should look.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// Where a unit's holder is (or was, or will be).
pub(super) struct Holder {
    dir: PathBuf,
}

impl Holder {
    pub(super) fn at(dir: &Path) -> Holder {
        Holder { dir: dir.to_path_buf() }
    }

    /// What it was launched with.
    pub(super) fn spec(&self) -> Option<UnitSpec> {
        let bytes = std::fs::read(self.dir.join(file::SPEC)).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Starts a holder for `spec`, in place of one of another revision; returns when it listens.
    pub(super) async fn launch(&self, program: &Path, spec: &UnitSpec) -> Result<(), String> {
        self.quit().await?;
        self.write_spec(spec).map_err(|e| format!("write {}: {e}", self.dir.display()))?;
        let output = tokio::process::Command::new(program)
            .arg0("remuda")
            .args(["hold", "--spec"])
            .arg(self.dir.join(file::SPEC))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .output()
            .await
            .map_err(|e| format!("run {} hold: {e}", program.display()))?;
        if output.status.success() {
            return Ok(());
        }
        let reason = String::from_utf8_lossy(&output.stderr).trim().to_string();
        Err(if reason.is_empty() { format!("the holder ended at once: {}", output.status) } else { reason })
    }

    fn write_spec(&self, spec: &UnitSpec) -> io::Result<()> {
        std::fs::create_dir_all(&self.dir)?;
        durable::write(&self.dir.join(file::SPEC), &serde_json::to_vec_pretty(spec)?, 0o600)
    }

    /// Ends the holder and everything it holds; returns when it is gone. None living is fine.
    pub(super) async fn quit(&self) -> Result<(), String> {
        let Ok(mut connection) = Connection::open(&self.dir).await else { return Ok(()) };
        let process = connection.process().map_err(|e| format!("watch its holder: {e}"))?;
        connection.ask(&Request::Quit).await?;
        // Not the end of the connection: that comes before the process has left its cgroup.
        match tokio::time::timeout(ANSWER_TIMEOUT, process.readable()).await {
            Ok(_) => Ok(()),
            Err(_) => Err("the holder was told to quit and still runs".into()),
        }
    }

    /// One request; a refusal is the error.
    pub(super) async fn ask(&self, request: &Request) -> Result<Answer, String> {
        let mut connection =
            Connection::open(&self.dir).await.map_err(|e| format!("its holder does not answer: {e}"))?;
        connection.ask(request).await
    }

    pub(super) async fn subscribe(&self) -> Result<States, String> {
        let mut connection =
            Connection::open(&self.dir).await.map_err(|e| format!("its holder does not answer: {e}"))?;
        connection.send(&Request::Subscribe).await.map_err(|e| e.to_string())?;
        Ok(States { connection })
    }

    /// A plain connection, for descriptors to come over.
    pub(super) async fn connect(&self) -> io::Result<UnixStream> {
        UnixStream::connect(self.dir.join(file::SOCKET)).await
    }
}

/// The states of a unit as they happen.
pub(super) struct States {
    connection: Connection,
}

impl States {
    /// `None` when the holder is gone.
    pub(super) async fn next(&mut self) -> Option<State> {
        loop {
            match self.connection.receive().await {
                Ok(Answer::State(state)) => return Some(state),
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    }
}

struct Connection {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

impl Connection {
    async fn open(dir: &Path) -> io::Result<Connection> {
        let (reader, writer) = UnixStream::connect(dir.join(file::SOCKET)).await?.into_split();
        Ok(Connection { reader: BufReader::with_capacity(1 << 10, reader), writer })
    }

    /// The holder's process: readable when it has ended.
    fn process(&self) -> io::Result<AsyncFd<OwnedFd>> {
        let peer = self.writer.as_ref().peer_cred()?;
        let pid = peer.pid().ok_or_else(|| io::Error::other("the kernel does not say which process it is"))?;
        // SAFETY: a system call without pointers; the descriptor it returns is ours alone.
        let descriptor = unsafe {
            let code = libc::syscall(libc::SYS_pidfd_open, pid, 0);
            if code < 0 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(code as i32)
        };
        watched(descriptor)
    }

    async fn ask(&mut self, request: &Request) -> Result<Answer, String> {
        self.send(request).await.map_err(|e| format!("its holder does not listen: {e}"))?;
        match tokio::time::timeout(ANSWER_TIMEOUT, self.receive()).await {
            Ok(Ok(Answer::Refused { reason })) => Err(reason),
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(e)) => Err(format!("its holder ended: {e}")),
            Err(_) => Err("its holder does not answer".into()),
        }
    }

    async fn send(&mut self, request: &Request) -> io::Result<()> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        self.writer.write_all(&line).await
    }

    async fn receive(&mut self) -> io::Result<Answer> {
        let mut line = Vec::new();
        let mut limited = (&mut self.reader).take(LINE_MAX_BYTES as u64);
        if limited.read_until(b'\n', &mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(serde_json::from_slice(&line)?)
    }
}
