//! The report stream of each host, so that it can be ended from here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

#[derive(Default)]
pub struct Streams {
    /// What ends the one report stream of a host.
    restarts: Mutex<HashMap<u32, Arc<Notify>>>,
}

impl Streams {
    /// A new report stream of this host; resolves when it shall end. An older stream of the host ends now.
    pub fn connect(&self, node_id: u32) -> Arc<Notify> {
        let restart: Arc<Notify> = Arc::default();
        if let Some(older) = self.restarts().insert(node_id, restart.clone()) {
            older.notify_one();
        }
        restart
    }

    /// Ends the host's report stream: the agent dials again and says everything.
    pub fn restart(&self, node_id: u32) {
        if let Some(restart) = self.restarts().get(&node_id) {
            restart.notify_one();
        }
    }

    pub fn forget(&self, node_id: u32) {
        if let Some(restart) = self.restarts().remove(&node_id) {
            restart.notify_one();
        }
    }

    fn restarts(&self) -> std::sync::MutexGuard<'_, HashMap<u32, Arc<Notify>>> {
        self.restarts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
