//! The agents' side of the server: gRPC service `remuda.v1.AgentLink` (messages and rules: `remuda_api::link`).
//!
//! A host is who its certificate says, if the store knows that host with that key: a removed host's calls and
//! streams end at once. Each host speaks for itself and sees its own assignment only.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use remuda_api::assignment::Assignment;
use remuda_api::link::{
    AssignRequest, Credentials, Frame, JoinRequest, LeaveReply, LeaveRequest, Order, OrdersRequest, RenewRequest,
    Report, ReportEnd, Update, UpdateKind,
};
use remuda_api::resource::HostState;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::clock::rfc3339;
use crate::fleet::{ChangeError, Fleet};
use crate::join::{self, JoinError};
use crate::pki::token::{self, TokenError};
use crate::pki::verifier::Peer;
use crate::pki::{NodeCertificate, PkiError};
use crate::state::State;
use crate::{health, publish, report};

mod stubs {
    include!(concat!(env!("OUT_DIR"), "/remuda.v1.AgentLink.rs"));
}
pub use stubs::agent_link_server::{AgentLink, AgentLinkServer};

/// Largest message an agent may send: a complete report of a full host stays far below.
const MESSAGE_MAX_BYTES: usize = 16 << 20;
/// A session's first frame names its order at once.
const FIRST_FRAME_TIMEOUT: Duration = Duration::from_secs(5);

pub struct Link {
    fleet: Arc<Fleet>,
}

/// The service, ready to be routed to.
pub fn service(fleet: Arc<Fleet>) -> AgentLinkServer<Link> {
    AgentLinkServer::new(Link { fleet }).max_decoding_message_size(MESSAGE_MAX_BYTES)
}

type Outgoing<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl AgentLink for Link {
    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<Credentials>, Status> {
        let JoinRequest { token_secret, csr_pem, facts } = request.into_inner();
        let facts = facts.ok_or_else(|| Status::invalid_argument("facts of the host are missing"))?;
        let (name, fleet) = (facts.name.clone(), self.fleet.clone());
        let outcome = self.fleet.change(move |state, now_ms| {
            token::spend(state, &token_secret, now_ms)?;
            let node_id = join::join(state, &facts, now_ms)?;
            let certificate = fleet.ca.node(node_id, &csr_pem)?;
            set_keys(state, node_id, vec![certificate.key.clone()]);
            Ok::<_, Refusal>((node_id, certificate))
        });
        match outcome.await {
            Ok(((node_id, certificate), _)) => Ok(Response::new(self.credentials(node_id, certificate))),
            Err(error) => Err(self.refused(format!("join of {}", shorten(&name)), error).await),
        }
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<Credentials>, Status> {
        let Some(Peer::Node { node_id, key, is_expired, is_renewable }) = request.extensions().get().cloned() else {
            return Err(Status::unauthenticated("renewing needs the host's own certificate"));
        };
        let state = self.fleet.state();
        if !is_renewable || !is_known(&state, node_id, &key) {
            let why = "this certificate is of a removed host or too old to be renewed: join again with a new token";
            self.fleet.audit_refusal(format!("renewal of node {node_id}"), why.into()).await;
            return Err(Status::unauthenticated(why));
        }
        let (fleet, csr_pem) = (self.fleet.clone(), request.into_inner().csr_pem);
        let outcome = self.fleet.change(move |state, now_ms| {
            let certificate = fleet.ca.node(node_id, &csr_pem)?;
            // The old key stays good until the new certificate is in use: the answer may get lost.
            set_keys(state, node_id, vec![certificate.key.clone(), key]);
            let name = state.nodes.get(&node_id).map(|node| node.name.clone()).unwrap_or_default();
            let message = if is_expired { "renewed an expired certificate" } else { "renewed its certificate" };
            state.record(now_ms, "certificate-renewed", name, message);
            Ok::<_, Refusal>(certificate)
        });
        match outcome.await {
            Ok((certificate, _)) => Ok(Response::new(self.credentials(node_id, certificate))),
            Err(error) => Err(self.refused(format!("renewal of node {node_id}"), error).await),
        }
    }

    type AssignStream = Outgoing<Update>;

    async fn assign(&self, request: Request<AssignRequest>) -> Result<Response<Self::AssignStream>, Status> {
        let node_id = self.authorise(&request)?;
        let AssignRequest { held_generation, facts } = request.into_inner();
        let connected = self.fleet.change(move |state, now_ms| {
            report::connected(state, node_id, facts.as_ref(), held_generation, now_ms);
            Ok::<u64, Refusal>(state.nodes.get(&node_id).map_or(0, |node| node.ahead_generation))
        });
        let (ahead, _) = connected.await.map_err(|error| Status::unavailable(error.to_string()))?;
        if ahead != 0 {
            return Err(Status::failed_precondition(report::RolledBack(ahead).to_string()));
        }
        let (updates, stream) = mpsc::channel(1);
        tokio::spawn(send_assignments(self.fleet.clone(), node_id, updates));
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn report(&self, request: Request<Streaming<Report>>) -> Result<Response<ReportEnd>, Status> {
        let node_id = self.authorise(&request)?;
        let mut reports = request.into_inner();
        let restart = self.fleet.streams.connect(node_id);
        self.fleet.liveness.connected(node_id);
        loop {
            let report = tokio::select! {
                next = reports.message() => next?,
                () = restart.notified() => return Err(Status::aborted("report again from the start")),
            };
            let Some(report) = report else { return Ok(Response::new(ReportEnd {})) };
            self.fleet.liveness.reported(node_id, &report);
            if says_something(&self.fleet.state(), node_id, &report) {
                self.fleet.report(node_id, report).await;
            }
        }
    }

    async fn leave(&self, request: Request<LeaveRequest>) -> Result<Response<LeaveReply>, Status> {
        let node_id = self.authorise(&request)?;
        let removed = self.fleet.remove_host(node_id, "left the fleet", |_| Ok::<_, ()>(())).await;
        removed.map_err(|error| match error {
            ChangeError::Refused(()) => Status::internal("a host cannot be kept from leaving"),
            other => Status::unavailable(other.to_string()),
        })?;
        Ok(Response::new(LeaveReply {}))
    }

    type OrdersStream = Outgoing<Order>;

    async fn orders(&self, request: Request<OrdersRequest>) -> Result<Response<Self::OrdersStream>, Status> {
        let node_id = self.authorise(&request)?;
        let orders = ReceiverStream::new(self.fleet.orders.connect(node_id));
        Ok(Response::new(Box::pin(orders.map(Ok))))
    }

    type SessionStream = Outgoing<Frame>;

    async fn session(&self, request: Request<Streaming<Frame>>) -> Result<Response<Self::SessionStream>, Status> {
        let node_id = self.authorise(&request)?;
        let mut frames = request.into_inner();
        let first = tokio::time::timeout(FIRST_FRAME_TIMEOUT, frames.message())
            .await
            .map_err(|_| Status::deadline_exceeded("the first frame names the order it answers"))??
            .ok_or_else(|| Status::invalid_argument("the session ended before its first frame"))?;
        let answered = self.fleet.orders.answer(node_id, first, frames);
        let stream = answered.ok_or_else(|| Status::not_found("nobody waits for this order any more"))?;
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}

impl Link {
    /// The host that calls, if its certificate is good for more than renewing.
    fn authorise<T>(&self, request: &Request<T>) -> Result<u32, Status> {
        match request.extensions().get::<Peer>() {
            Some(Peer::Node { is_expired: true, .. }) => {
                Err(Status::unauthenticated("the host's certificate has expired: renew it"))
            }
            Some(Peer::Node { node_id, key, .. }) if is_known(&self.fleet.state(), *node_id, key) => Ok(*node_id),
            Some(Peer::Node { .. }) => {
                Err(Status::permission_denied("this host was removed from the fleet: join again with a new token"))
            }
            Some(Peer::Anonymous) | None => Err(Status::unauthenticated("needs the host's certificate")),
        }
    }

    fn credentials(&self, node_id: u32, certificate: NodeCertificate) -> Credentials {
        Credentials {
            node_id,
            certificate_pem: certificate.pem,
            ca_pem: self.fleet.ca.pem().to_owned(),
            not_after: rfc3339(certificate.not_after_ms),
        }
    }

    async fn refused(&self, object: String, error: ChangeError<Refusal>) -> Status {
        let status = match &error {
            ChangeError::Refused(Refusal::Token(why)) => Status::unauthenticated(why.to_string()),
            ChangeError::Refused(Refusal::Join(why @ JoinError::Full(_))) => {
                Status::resource_exhausted(why.to_string())
            }
            ChangeError::Refused(Refusal::Join(why)) => Status::failed_precondition(why.to_string()),
            ChangeError::Refused(Refusal::Pki(why)) => Status::invalid_argument(why.to_string()),
            ChangeError::Store(_) | ChangeError::Fault(_) => return Status::unavailable(error.to_string()),
        };
        self.fleet.audit_refusal(object, status.message().to_owned()).await;
        status
    }
}

#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error(transparent)]
    Join(#[from] JoinError),
    #[error(transparent)]
    Pki(#[from] PkiError),
}

fn is_known(state: &State, node_id: u32, key: &str) -> bool {
    state.nodes.get(&node_id).is_some_and(|node| node.keys.iter().any(|known| known == key))
}

fn set_keys(state: &mut State, node_id: u32, keys: Vec<String>) {
    if let Some(node) = state.nodes.get_mut(&node_id) {
        Arc::make_mut(node).keys = keys;
    }
}

/// False for a report that only renews the lease.
fn says_something(state: &State, node_id: u32, report: &Report) -> bool {
    let live = state.live.get(&node_id).cloned().unwrap_or_default();
    let is_news = live.generation != report.generation || live.problems != report.problems;
    let is_back = report.generation > 0 && live.state != HostState::Ready;
    let has_content = !report.containers.is_empty() || !report.gone.is_empty() || report.facts.is_some();
    let is_found = health::is_news(&live, report);
    is_news || is_found || is_back || has_content || report.complete
}

/// The full assignment, then deltas, each from what was sent last to the latest: a slow host skips what lies between.
async fn send_assignments(fleet: Arc<Fleet>, node_id: u32, updates: mpsc::Sender<Result<Update, Status>>) {
    let mut states = fleet.watch();
    let mut held: Option<Assignment> = None;
    loop {
        let state = states.borrow_and_update().clone();
        if !state.nodes.contains_key(&node_id) {
            let _ = updates.send(Err(Status::permission_denied("this host was removed from the fleet"))).await;
            return;
        }
        if held.as_ref().is_none_or(|held| held.generation != state.revision) {
            let next = publish::assignment(&state, &fleet.shared(&state), node_id);
            let kind = match &held {
                None => UpdateKind::Full(next.clone()),
                Some(held) => UpdateKind::Delta(held.delta_to(&next)),
            };
            if updates.send(Ok(Update { kind: Some(kind) })).await.is_err() {
                return;
            }
            held = Some(next);
        }
        tokio::select! {
            changed = states.changed() => if changed.is_err() { return },
            () = updates.closed() => return,
        }
    }
}

fn shorten(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(remuda_api::names::LABEL_MAX_BYTES).collect()
}
