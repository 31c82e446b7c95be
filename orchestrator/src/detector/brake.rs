//! When so many hosts go at once that the fault is more likely ours, or the network's, than theirs.

use std::collections::BTreeMap;

use super::host::Host;

/// Losses this close together belong together.
pub(super) const WINDOW_MS: u64 = 60_000;
/// Fewer than this never brake: half of a small fleet may well fail.
const HOSTS_MIN: usize = 3;

#[derive(Default)]
pub(super) struct Brake {
    /// It holds whatever is lost until then.
    until_ms: Option<u64>,
}

pub(super) struct Pull {
    pub(super) holds: bool,
    /// The hosts that made it hold, when it begins to.
    pub(super) alarm: Option<Vec<u32>>,
}

impl Brake {
    /// Whether hosts lost now are held: more than half and at least three went within the window. Those that are
    /// only suspect yet count, so that of three cut at once none is moved before the others are seen; hosts lost
    /// before the window count for nothing.
    pub(super) fn pull(&mut self, hosts: &BTreeMap<u32, Host>, timeout_ms: u64, now_ms: u64) -> Pull {
        let fallen = hosts.iter().filter(|(_, host)| host.has_fallen(timeout_ms, now_ms));
        let fallen: Vec<u32> = fallen.map(|(node_id, _)| *node_id).collect();
        let of = hosts.values().filter(|host| host.is_recent(now_ms)).count();
        let holds_on = self.until_ms.is_some_and(|until_ms| now_ms < until_ms);
        if fallen.len() >= HOSTS_MIN && fallen.len() * 2 > of {
            self.until_ms = Some(now_ms + WINDOW_MS);
            return Pull { holds: true, alarm: (!holds_on).then_some(fallen) };
        }
        Pull { holds: holds_on, alarm: None }
    }
}
