//! What a command writes, from the engine's connection to whoever listens.

use futures::FutureExt;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::{mpsc, watch};

use super::framing::Framing;
use crate::runtime::{ExecOutput, Stream};

const PIECE_MAX_BYTES: usize = 16 << 10;
/// The most that is on its way when a command has ended: what it wrote itself is among it.
const LATE_MAX_BYTES: usize = 64 << 10;

/// Reads until the end, until nobody wants it any more, or until it is `over`: then what is there and no more.
pub(super) async fn drain(
    mut read: impl AsyncRead + Unpin,
    mut framing: Option<Framing>,
    outputs: mpsc::Sender<ExecOutput>,
    mut over: watch::Receiver<()>,
) {
    let mut buffer = vec![0; PIECE_MAX_BYTES];
    loop {
        let count = tokio::select! {
            biased;
            () = outputs.closed() => return,
            _ = over.changed() => break,
            read = read.read(&mut buffer) => read,
        };
        let Ok(count @ 1..) = count else { return };
        if pass_on(&mut framing, buffer.get(..count).unwrap_or_default(), &outputs).await.is_err() {
            return;
        }
    }
    let mut left_bytes = LATE_MAX_BYTES;
    while left_bytes > 0 {
        let Some(Ok(count @ 1..)) = read.read(&mut buffer).now_or_never() else { return };
        left_bytes = left_bytes.saturating_sub(count);
        if pass_on(&mut framing, buffer.get(..count).unwrap_or_default(), &outputs).await.is_err() {
            return;
        }
    }
}

/// Errors when nobody listens.
async fn pass_on(
    framing: &mut Option<Framing>,
    bytes: &[u8],
    outputs: &mpsc::Sender<ExecOutput>,
) -> Result<(), mpsc::error::SendError<ExecOutput>> {
    let Some(framing) = framing else { return outputs.send(ExecOutput::Stdout(bytes.to_vec())).await };
    for piece in framing.split(bytes).into_iter().filter(|piece| !piece.bytes.is_empty()) {
        let kind = if piece.stream == Stream::Stdout { ExecOutput::Stdout } else { ExecOutput::Stderr };
        outputs.send(kind(piece.bytes.to_vec())).await?;
    }
    Ok(())
}
