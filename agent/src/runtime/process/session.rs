//! The agent's side of a command in a unit: bytes in, bytes out, and its code.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use futures::future::join_all;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::holder::Holder;
use super::protocol::{Answer, Request};
use crate::runtime::descriptor::watched;
use crate::runtime::{ExecInput, ExecOutput, ExecSession, NotStarted};

/// Pieces on their way in either direction; a slow side makes the other wait.
const PIECES_IN_FLIGHT: usize = 16;
const PIECE_MAX_BYTES: usize = 16 << 10;
/// What a command that has ended left running may still say in this time; it may hold the output open for ever.
const LINGER: Duration = Duration::from_millis(500);
/// The most a pipe holds: what the command itself wrote is among it.
const PIPE_MAX_BYTES: usize = 64 << 10;

/// Asks the holder to run `argv`.
pub(super) async fn open(
    holder: &Holder,
    argv: &[String],
    terminal: Option<(u16, u16)>,
    kill_on_close: bool,
) -> Result<ExecSession, NotStarted> {
    let does_not_answer = |e: io::Error| NotStarted::NotAsked(format!("its holder does not answer: {e}"));
    let mut stream = holder.connect().await.map_err(does_not_answer)?;
    send(&stream, &Request::Exec { argv: argv.to_vec(), terminal, kill_on_close }).await.map_err(does_not_answer)?;
    let mut lines = Lines::default();
    let (answer, descriptors) = lines.next(&mut stream).await.map_err(does_not_answer)?;
    match answer {
        Answer::Exec => run(stream, lines, descriptors)
            .map_err(|e| NotStarted::NotAsked(format!("read the command's streams: {e}"))),
        Answer::Refused { reason } => Err(NotStarted::Refused(reason)),
        other => Err(NotStarted::NotAsked(format!("its holder answered {other:?}"))),
    }
}

fn run(stream: UnixStream, lines: Lines, descriptors: Vec<OwnedFd>) -> io::Result<ExecSession> {
    let (input, inputs) = mpsc::channel(PIECES_IN_FLIGHT);
    let (outputs, output) = mpsc::channel(PIECES_IN_FLIGHT);
    let mut descriptors = descriptors.into_iter();
    let first = descriptors.next().ok_or_else(|| io::Error::other("the holder sent no descriptor"))?;
    let (live, over) = watch::channel(());
    let (writer, readers) = match (descriptors.next(), descriptors.next()) {
        (Some(stdout), Some(stderr)) => {
            let (stdin, stdout, stderr) = (pipe(first)?, pipe(stdout)?, pipe(stderr)?);
            let stdout = drain(stdout, outputs.clone(), over.clone(), ExecOutput::Stdout);
            let stderr = drain(stderr, outputs.clone(), over, ExecOutput::Stderr);
            (tokio::spawn(feed(stdin, inputs, false)), vec![tokio::spawn(stdout), tokio::spawn(stderr)])
        }
        _ => {
            let (terminal, copy) = (pipe(first.try_clone()?)?, pipe(first)?);
            let reader = drain(copy, outputs.clone(), over, ExecOutput::Stdout);
            (tokio::spawn(feed(terminal, inputs, true)), vec![tokio::spawn(reader)])
        }
    };
    let finish = finish(stream, lines, readers, live, outputs);
    tokio::spawn(async move {
        finish.await;
        // It may wait for somebody to read what nobody will.
        writer.abort();
    });
    Ok(ExecSession { input, output })
}

/// The code comes last: after all output of the command. A reader who is gone closes the connection, which hangs the
/// command up. Dropping `live` tells the readers to take what is there and end.
async fn finish(
    mut stream: UnixStream,
    mut lines: Lines,
    mut readers: Vec<JoinHandle<()>>,
    live: watch::Sender<()>,
    outputs: mpsc::Sender<ExecOutput>,
) {
    let code = tokio::select! {
        () = outputs.closed() => return,
        answer = lines.next(&mut stream) => match answer {
            Ok((Answer::Exited { code }, _)) => code,
            // The holder is gone, and with it the command.
            _ => 137,
        },
    };
    if tokio::time::timeout(LINGER, join_all(&mut readers)).await.is_err() {
        drop(live);
        join_all(readers.iter_mut().filter(|reader| !reader.is_finished())).await;
    }
    let _ = outputs.send(ExecOutput::Exited(code)).await;
}

async fn feed(pipe: AsyncFd<OwnedFd>, mut inputs: mpsc::Receiver<ExecInput>, is_terminal: bool) {
    while let Some(input) = inputs.recv().await {
        let written = match input {
            ExecInput::Bytes(bytes) => write_all(&pipe, &bytes).await,
            // Ctrl-D: a terminal cannot be closed in one direction.
            ExecInput::End if is_terminal => write_all(&pipe, &[4]).await,
            ExecInput::End => return,
            ExecInput::Resize(rows, columns) if is_terminal => resize(&pipe, rows, columns),
            ExecInput::Resize(..) => Ok(()),
        };
        if written.is_err() {
            return;
        }
    }
}

async fn write_all(pipe: &AsyncFd<OwnedFd>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let count = pipe.async_io(Interest::WRITABLE, |fd| Ok(nix::unistd::write(fd, bytes)?)).await?;
        bytes = bytes.get(count..).unwrap_or_default();
    }
    Ok(())
}

fn resize(terminal: &AsyncFd<OwnedFd>, rows: u16, columns: u16) -> io::Result<()> {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: an open terminal and a whole winsize that lives through the call.
    let code = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
    if code < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Reads until the end, until nobody wants it any more, or until it is `over`: then what is in the pipe and no more.
async fn drain(
    pipe: AsyncFd<OwnedFd>,
    outputs: mpsc::Sender<ExecOutput>,
    mut over: watch::Receiver<()>,
    kind: fn(Vec<u8>) -> ExecOutput,
) {
    let mut buffer = vec![0; PIECE_MAX_BYTES];
    loop {
        let read = tokio::select! {
            biased;
            () = outputs.closed() => return,
            _ = over.changed() => break,
            read = pipe.async_io(Interest::READABLE, |fd| Ok(nix::unistd::read(fd, &mut buffer)?)) => read,
        };
        // A terminal whose other side closed says EIO: the end, like 0.
        let Ok(count @ 1..) = read else { return };
        if outputs.send(kind(buffer.get(..count).unwrap_or_default().to_vec())).await.is_err() {
            return;
        }
    }
    let mut left_bytes = PIPE_MAX_BYTES;
    while left_bytes > 0 {
        let Ok(count @ 1..) = nix::unistd::read(pipe.get_ref(), &mut buffer) else { return };
        left_bytes = left_bytes.saturating_sub(count);
        if outputs.send(kind(buffer.get(..count).unwrap_or_default().to_vec())).await.is_err() {
            return;
        }
    }
}

fn pipe(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    let flags = OFlag::from_bits_retain(fcntl(&descriptor, FcntlArg::F_GETFL)?);
    fcntl(&descriptor, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    watched(descriptor)
}

async fn send(stream: &UnixStream, request: &Request) -> io::Result<()> {
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    let mut rest = line.as_slice();
    while !rest.is_empty() {
        stream.writable().await?;
        match stream.try_write(rest) {
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Lines of the holder, with the descriptors that came beside them.
#[derive(Default)]
struct Lines {
    bytes: Vec<u8>,
}

impl Lines {
    async fn next(&mut self, stream: &mut UnixStream) -> io::Result<(Answer, Vec<OwnedFd>)> {
        let mut descriptors = Vec::new();
        loop {
            if let Some(end) = self.bytes.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.bytes.drain(..=end).collect();
                return Ok((serde_json::from_slice(&line)?, descriptors));
            }
            stream.readable().await?;
            match stream.try_io(Interest::READABLE, || receive(stream.as_raw_fd())) {
                Ok((bytes, _)) if bytes.is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok((bytes, came)) => {
                    self.bytes.extend(bytes);
                    descriptors.extend(came);
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
        }
    }
}

fn receive(socket: i32) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut buffer = [0; 4096];
    let mut control = nix::cmsg_space!([i32; 3]);
    let mut parts = [IoSliceMut::new(&mut buffer)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<()>(socket, &mut parts, Some(&mut control), flags)?;
    let mut descriptors = Vec::new();
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(raw) = part {
            // SAFETY: the kernel just installed these descriptors for us; nobody else knows them.
            descriptors.extend(raw.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
        }
    }
    let count = message.bytes;
    Ok((buffer.get(..count).unwrap_or_default().to_vec(), descriptors))
}
