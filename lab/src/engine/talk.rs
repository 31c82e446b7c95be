//! One question to an engine's API over its socket: HTTP/1.0, so that the answer ends with the connection.

use anyhow::{Context, Result, bail};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// An engine that says nothing for this long hangs.
const SILENCE_LIMIT: Duration = Duration::from_secs(30);

/// The body of the answer; errors with the engine's own words when it is no success.
pub(super) fn request(socket: &Path, method: &str, path: &str, body: &[u8]) -> Result<Vec<u8>> {
    let mut stream =
        UnixStream::connect(socket).with_context(|| format!("no container engine at {}", socket.display()))?;
    stream.set_read_timeout(Some(SILENCE_LIMIT))?;
    let length = body.len();
    let kind = if body.is_empty() { "application/json" } else { "application/x-tar" };
    write!(stream, "{method} {path} HTTP/1.0\r\nHost: d\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n")?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).with_context(|| format!("{method} {path}: no answer"))?;
    let (head, body) = split(&answer).with_context(|| format!("{method} {path}: not an HTTP answer"))?;
    if head.split_whitespace().nth(1).is_none_or(|status| !status.starts_with('2')) {
        bail!("{method} {path}: {}", String::from_utf8_lossy(body).trim());
    }
    Ok(body.to_vec())
}

/// Head and body of an answer.
fn split(answer: &[u8]) -> Option<(String, &[u8])> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    Some((String::from_utf8_lossy(&answer[..end]).into_owned(), &answer[end + 4..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_split_at_the_first_empty_line() {
        let (head, body) = split(b"HTTP/1.0 200 OK\r\nApi-Version: 1.41\r\n\r\nOK\r\n\r\n").unwrap();
        assert_eq!((head.as_str(), body), ("HTTP/1.0 200 OK\r\nApi-Version: 1.41", &b"OK\r\n\r\n"[..]));
        assert!(split(b"rubbish").is_none());
    }
}
