//! What happens to a packet, and how a step ends early.

use crate::hook::NextHop;
use remuda_abi::counter::DropReason;

/// What happens to the packet. Dropping one silently does not type-check.
#[must_use = "a packet's fate must reach the kernel"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not ours: the next program, then the kernel.
    Next,
    /// Back out of the interface it came in by.
    Answer,
    /// Into the endpoint behind this host-side veth.
    Endpoint {
        ifindex: u32,
    },
    /// Up the host stack, entering by this interface (`remuda0`).
    HostStack {
        ifindex: u32,
    },
    /// Out to the underlay.
    Leave(NextHop),
    Drop(DropReason),
}

/// Why a step ended early. One flat u32-sized enum: it shares memory with the Ok payload.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Not ours: the next program, then the kernel.
    Pass,
    Drop(DropReason),
}
impl From<DropReason> for Stop {
    #[inline(always)]
    fn from(r: DropReason) -> Self {
        Stop::Drop(r)
    }
}
