//! Logs, exec and look-ups: a user waits, the host is told on its order stream, and answers by opening a session.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::RngCore;
use remuda_api::link::{Frame, FrameKind, Order, OrderKind};
use tokio::sync::{mpsc, oneshot};
use tonic::{Status, Streaming};

use crate::pki::hex;

/// Orders a host has not taken yet.
const ORDERS_BACKLOG: usize = 64;
/// Users that wait for a host to answer, in all.
const WAITING_MAX: usize = 4_096;
/// A host that is there answers in milliseconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Frames on the way to a host before the user's input waits.
const FRAMES_BACKLOG: usize = 16;

#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    #[error("its host is not connected")]
    NotConnected,
    #[error("its host has too many requests waiting: try again")]
    Busy,
    #[error("its host did not answer within {} s", ANSWER_TIMEOUT.as_secs())]
    NoAnswer,
}

#[derive(Default)]
pub struct Orders {
    hosts: Mutex<HashMap<u32, mpsc::Sender<Order>>>,
    waiting: Mutex<HashMap<String, Waiting>>,
}

struct Waiting {
    node_id: u32,
    session: oneshot::Sender<Session>,
}

/// The two directions of one answer.
pub struct Session {
    first: Option<FrameKind>,
    from_host: Streaming<Frame>,
    pub to_host: mpsc::Sender<Result<Frame, Status>>,
}

impl Session {
    /// The next piece; None when the host has ended the session.
    pub async fn next(&mut self) -> Option<FrameKind> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        loop {
            match self.from_host.message().await {
                Ok(Some(Frame { kind: Some(kind), .. })) => return Some(kind),
                Ok(Some(Frame { kind: None, .. })) => {}
                Ok(None) | Err(_) => return None,
            }
        }
    }

    /// Sends one piece; false when the host has gone.
    pub async fn send(&self, kind: FrameKind) -> bool {
        self.to_host.send(Ok(Frame { order_id: String::new(), kind: Some(kind) })).await.is_ok()
    }
}

impl Orders {
    /// The order stream of a host; an older one of the same host ends.
    pub fn connect(&self, node_id: u32) -> mpsc::Receiver<Order> {
        let (orders, stream) = mpsc::channel(ORDERS_BACKLOG);
        lock(&self.hosts).insert(node_id, orders);
        stream
    }

    pub fn disconnect(&self, node_id: u32) {
        lock(&self.hosts).remove(&node_id);
    }

    /// Gives a host an order and waits for the session that answers it.
    pub async fn open(&self, node_id: u32, kind: OrderKind) -> Result<Session, OrderError> {
        let orders = lock(&self.hosts).get(&node_id).cloned().ok_or(OrderError::NotConnected)?;
        let id = new_id();
        let (session, answer) = oneshot::channel();
        {
            let mut waiting = lock(&self.waiting);
            if waiting.len() >= WAITING_MAX {
                return Err(OrderError::Busy);
            }
            waiting.insert(id.clone(), Waiting { node_id, session });
        }
        let _forget = Forget { orders: self, id: id.clone() };
        orders.try_send(Order { id, kind: Some(kind) }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => OrderError::Busy,
            mpsc::error::TrySendError::Closed(_) => OrderError::NotConnected,
        })?;
        let answered = tokio::time::timeout(ANSWER_TIMEOUT, answer).await;
        answered.map_err(|_| OrderError::NoAnswer)?.map_err(|_| OrderError::NoAnswer)
    }

    /// A host opens the session for an order it was given; the answer is the stream towards it.
    pub fn answer(
        &self,
        node_id: u32,
        first: Frame,
        from_host: Streaming<Frame>,
    ) -> Option<mpsc::Receiver<Result<Frame, Status>>> {
        let waiting = {
            let mut all = lock(&self.waiting);
            // Another host's order: leave it to that host.
            all.get(&first.order_id).filter(|waiting| waiting.node_id == node_id)?;
            all.remove(&first.order_id)?
        };
        let (to_host, stream) = mpsc::channel(FRAMES_BACKLOG);
        waiting.session.send(Session { first: first.kind, from_host, to_host }).ok()?;
        Some(stream)
    }
}

/// Nobody waits any more, however the waiting ended.
struct Forget<'a> {
    orders: &'a Orders,
    id: String,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        lock(&self.orders.waiting).remove(&self.id);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Not to be guessed by another host.
fn new_id() -> String {
    let mut id = [0u8; 16];
    rand::rng().fill_bytes(&mut id);
    hex(&id)
}
