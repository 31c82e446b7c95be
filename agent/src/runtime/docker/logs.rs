//! Reading a container's log.

use super::engine::Engine;
use crate::runtime::Log;

/// The last `tail` lines (0 = all kept) of a container's output, then new ones while `follow`.
pub(super) async fn read(_engine: &Engine, id: &str, _follow: bool, _tail: u32) -> Result<Log, String> {
    Err(format!("the log of container {id} is not read by this version"))
}
