//! What waiting users ask of this host, each answered by a session of its own.

use std::sync::Arc;

use remuda_api::link::OrdersRequest;
use tokio::sync::Semaphore;

use super::{Identity, Patience, session};
use crate::agent::Agent;

/// Sessions at the same time: people and scripts, not load.
const SESSIONS_MAX: usize = 64;

/// Takes orders for as long as the agent runs.
pub(super) async fn run(identity: Arc<Identity>, agent: Agent) {
    let mut patience = Patience::default();
    let places = Arc::new(Semaphore::new(SESSIONS_MAX));
    loop {
        let client = identity.client();
        if let Ok(orders) = client.clone().orders(OrdersRequest {}).await {
            let mut orders = orders.into_inner();
            patience.succeeded();
            while let Ok(Some(order)) = orders.message().await {
                let Ok(place) = places.clone().acquire_owned().await else { return };
                let (client, agent) = (client.clone(), agent.clone());
                tokio::spawn(async move {
                    session::answer(client, agent, order).await;
                    drop(place);
                });
            }
        }
        patience.wait_or_back(&identity).await;
    }
}
