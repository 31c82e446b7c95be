//! The checks this host makes of other hosts' containers: one task for all of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use remuda_api::link::CheckResult;
use tokio::sync::watch;
use tokio::time::Instant;

use super::book::Book;
use super::probe::probe;
use crate::desired::Desired;
use crate::reconcile::Shown;

/// Checks under way at a time: sockets are cheap, and as many silent containers must not delay the others' checks much.
const PROBES_MAX: usize = 256;

/// What each check has found, by endpoint id.
pub type Results = BTreeMap<u32, CheckResult>;

/// Checks what the newest assignment asks for until the agent ends. Watchers of `results` are woken when an outcome
/// changed; reasons and new checks they see when they look.
pub async fn run(mut shown: watch::Receiver<Arc<Shown>>, results: watch::Sender<Results>) {
    let started = Instant::now();
    let now_ms = || started.elapsed().as_millis() as u64;
    let mut book = Book::default();
    let mut followed: Option<Arc<Desired>> = None;
    let mut probes = FuturesUnordered::new();
    shown.mark_changed();
    loop {
        while probes.len() < PROBES_MAX
            && let Some(begun) = book.begin(now_ms())
        {
            probes.push(async move {
                let result = probe(&begun.check).await;
                (begun, result)
            });
        }
        let next = book.next_ms().filter(|_| probes.len() < PROBES_MAX);
        tokio::select! {
            changed = shown.changed() => {
                if changed.is_err() {
                    return;
                }
                let newest = shown.borrow_and_update().desired.clone();
                if let Some(desired) = newest && !followed.as_ref().is_some_and(|held| Arc::ptr_eq(held, &desired)) {
                    book.follow(desired.host.node_id, &desired.checks, now_ms());
                    results.send_if_modified(|all| { *all = book.results(); false });
                    followed = Some(desired);
                }
            }
            Some((begun, result)) = probes.next() => match result {
                None => book.put_back(&begun),
                Some(result) => {
                    let has_changed = book.done(&begun, result);
                    results.send_if_modified(|all| {
                        all.extend(book.result(begun.check.endpoint_id).map(|result| (result.endpoint_id, result)));
                        has_changed
                    });
                }
            },
            () = tokio::time::sleep_until(started + Duration::from_millis(next.unwrap_or_default())), if next.is_some() => {}
        }
    }
}
