//! One agent (or tool) on the holder's socket.

use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use nix::unistd::Pid;

use crate::runtime::process::protocol::{Answer, LINE_MAX_BYTES, Request};

pub(super) struct Connection {
    pub(super) stream: UnixStream,
    pub(super) is_subscribed: bool,
    /// The command this connection is the session of.
    pub(super) exec: Option<Pid>,
    /// Removed at the end of the round, so that positions stay valid within it.
    pub(super) is_closed: bool,
    input: Vec<u8>,
}

/// What came over a connection.
pub(super) enum Received {
    Requests(Vec<Result<Request, String>>),
    Closed,
}

impl Connection {
    pub(super) fn new(stream: UnixStream) -> io::Result<Connection> {
        stream.set_nonblocking(true)?;
        Ok(Connection { stream, is_subscribed: false, exec: None, is_closed: false, input: Vec::new() })
    }

    /// Reads what is there; whole lines become requests.
    pub(super) fn receive(&mut self) -> Received {
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer) {
            Ok(0) => return Received::Closed,
            Ok(count) => self.input.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(_) => return Received::Closed,
        }
        if self.input.len() > LINE_MAX_BYTES {
            return Received::Closed;
        }
        let mut requests = Vec::new();
        while let Some(end) = self.input.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.input.drain(..=end).collect();
            requests.push(serde_json::from_slice(&line).map_err(|e| format!("not a request: {e}")));
        }
        Received::Requests(requests)
    }

    /// False when the other side is gone, or does not read: answers are small, so a full buffer means nobody is there.
    pub(super) fn send(&mut self, answer: &Answer) -> bool {
        self.send_with(answer, &[])
    }

    /// ... with descriptors beside the line.
    pub(super) fn send_with(&mut self, answer: &Answer, descriptors: &[OwnedFd]) -> bool {
        let Ok(mut line) = serde_json::to_vec(answer) else { return false };
        line.push(b'\n');
        if descriptors.is_empty() {
            return self.stream.write_all(&line).is_ok();
        }
        let raw: Vec<i32> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&raw)];
        let parts = [IoSlice::new(&line)];
        let sent = sendmsg::<()>(self.stream.as_raw_fd(), &parts, &rights, MsgFlags::MSG_NOSIGNAL, None);
        sent.is_ok_and(|count| count == line.len())
    }
}
