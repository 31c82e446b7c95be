//! One order, one session: what the user gets to see, and what went wrong instead.

use remuda_api::link::{
    DnsOrder, ExecOrder, Frame, FrameKind, LeaveOrder, LogsOrder, Order, OrderKind, RemoveVolumeOrder,
};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::Client;
use crate::agent::Agent;
use crate::reconcile::Request;
use crate::runtime::{ExecInput, ExecOutput, Stream};

/// Frames under way; HTTP/2's window holds back a fast writer behind them.
const FRAMES_MAX: usize = 16;

/// Opens the session, does the order, and closes with `Exit` or `Error`.
pub(super) async fn answer(mut client: Client, agent: Agent, order: Order) {
    let (send, receive) = mpsc::channel(FRAMES_MAX);
    let first = Frame { order_id: order.id.clone(), kind: None };
    if send.send(first).await.is_err() {
        return;
    }
    let input = match client.session(ReceiverStream::new(receive)).await {
        Ok(input) => input.into_inner(),
        Err(status) => return tracing::debug!("session {}: {status}", order.id),
    };
    let out = Out(send);
    let last = match carry_out(&agent, order.kind, input, &out).await {
        Ok(code) => FrameKind::Exit(code),
        Err(error) => FrameKind::Error(error),
    };
    out.send(last).await;
    out.0.closed().await;
}

/// Where frames for the user go.
pub(super) struct Out(mpsc::Sender<Frame>);

impl Out {
    /// False when the user is gone.
    pub(super) async fn send(&self, kind: FrameKind) -> bool {
        self.0.send(Frame { order_id: String::new(), kind: Some(kind) }).await.is_ok()
    }
}

async fn carry_out(agent: &Agent, order: Option<OrderKind>, input: Streaming<Frame>, out: &Out) -> Result<i32, String> {
    match order {
        Some(OrderKind::Dns(order)) => dns(agent, &order, out).await,
        Some(OrderKind::Leave(order)) => leave(agent, &order).await,
        Some(OrderKind::Logs(order)) => logs(agent, &order, out).await,
        Some(OrderKind::Exec(order)) => exec(agent, &order, input, out).await,
        Some(OrderKind::RemoveVolume(order)) => remove_volume(agent, &order).await,
        None => Err("this agent does not know that order: it is older than the orchestrator".to_owned()),
    }
}

async fn remove_volume(agent: &Agent, order: &RemoveVolumeOrder) -> Result<i32, String> {
    agent.parts.runtimes.remove_volume(&order.name).await.map_err(|error| error.to_string())?;
    Ok(0)
}

async fn logs(agent: &Agent, order: &LogsOrder, out: &Out) -> Result<i32, String> {
    let logs = agent.parts.runtimes.logs(&order.container, order.follow, order.tail).await;
    let mut chunks = logs.map_err(|error| error.to_string())?;
    loop {
        let chunk = tokio::select! {
            chunk = chunks.recv() => chunk,
            () = out.0.closed() => return Ok(0), // who follows a log goes away at some time
        };
        let Some(chunk) = chunk else { return Ok(0) };
        let kind = match chunk.stream {
            Stream::Stdout => FrameKind::Stdout(chunk.bytes),
            Stream::Stderr => FrameKind::Stderr(chunk.bytes),
        };
        out.send(kind).await;
    }
}

async fn exec(agent: &Agent, order: &ExecOrder, mut input: Streaming<Frame>, out: &Out) -> Result<i32, String> {
    let side = |cells: u32| u16::try_from(cells).unwrap_or(u16::MAX);
    let terminal = (order.rows != 0 && order.columns != 0).then(|| (side(order.rows), side(order.columns)));
    let session = agent.parts.runtimes.exec(&order.container, &order.argv, terminal).await;
    let mut session = session.map_err(|error| error.to_string())?;
    let (mut is_input_open, mut is_user_there) = (true, true);
    while is_user_there {
        tokio::select! {
            frame = input.message(), if is_input_open => {
                let input = frame.ok().flatten().and_then(|frame| frame.kind);
                is_input_open = input.is_some();
                let input = match input {
                    Some(FrameKind::Stdin(bytes)) => ExecInput::Bytes(bytes),
                    Some(FrameKind::Resize(size)) => ExecInput::Resize(side(size.rows), side(size.columns)),
                    Some(FrameKind::StdinEnd(_)) | None => ExecInput::End,
                    Some(_) => continue,
                };
                let _ = session.input.send(input).await;
            }
            output = session.output.recv() => match output {
                Some(ExecOutput::Stdout(bytes)) => is_user_there = out.send(FrameKind::Stdout(bytes)).await,
                Some(ExecOutput::Stderr(bytes)) => is_user_there = out.send(FrameKind::Stderr(bytes)).await,
                Some(ExecOutput::Exited(code)) => return Ok(code),
                None => return Err(format!("{} went away before the command ended", order.container)),
            },
            () = out.0.closed() => is_user_there = false,
        }
    }
    Ok(0) // dropping the session hangs the command up
}

async fn dns(agent: &Agent, order: &DnsOrder, out: &Out) -> Result<i32, String> {
    let assignment = agent.shown.borrow().assignment.clone().ok_or("this host has no assignment yet")?;
    let answer = agent.parts.names.lock().await.resolve(&assignment, order).await?;
    out.send(FrameKind::Stdout(answer)).await;
    Ok(0)
}

async fn leave(agent: &Agent, _order: &LeaveOrder) -> Result<i32, String> {
    let (reply, left) = oneshot::channel();
    agent.requests.send(Request::Leave(reply)).await.map_err(|_| "the agent is ending")?;
    left.await.map_err(|_| "the agent ended before it had left")??;
    agent.answered.notify_one();
    Ok(0)
}
