//! What is known of a host that is not stored.

use std::collections::BTreeMap;
use std::sync::Arc;

use remuda_api::link::CheckOutcome;
use remuda_api::resource::HostState;

/// What is known of a host since this server started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Live {
    pub state: HostState,
    /// Why it is in this state; empty = it is ready.
    pub reason: String,
    /// What ran there is placed elsewhere: dead (unless the brake holds), or control-lost for too long.
    pub is_lost: bool,
    /// New connections avoid it while a service has members elsewhere: it was found suspect or dead.
    pub is_avoided: bool,
    /// When it was found reachable again, after it had been suspect or dead or this server had started (unix ms); 0 = it
    /// always was. What was found of it, and by it, before then may mean its network and nothing else.
    pub reachable_since_ms: u64,
    /// The last generation whose every step the host has done; 0 = none said.
    pub generation: u64,
    /// Steps that keep failing there, in words.
    pub problems: Vec<String>,
    /// What it found of the containers it checks, by endpoint id.
    pub checks: Arc<BTreeMap<u32, Vote>>,
}

/// What one checker says of one container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vote {
    pub outcome: CheckOutcome,
    /// When it was first heard (unix ms).
    pub since_ms: u64,
    pub reason: String,
}
