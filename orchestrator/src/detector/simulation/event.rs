//! What happens in a run, each at its millisecond.

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    Tick,
    /// Reports, gossips and probes.
    Beat {
        host: usize,
    },
    /// A question of `by` reached its host: gossip waits for the agent, a probe for the kernel only.
    Question {
        by: usize,
        of: usize,
        is_probe: bool,
    },
    Answer {
        by: usize,
        of: usize,
        is_probe: bool,
        given_ms: u64,
    },
    Connect {
        host: usize,
        connection: u64,
        is_second_try: bool,
    },
    Connected {
        host: usize,
        connection: u64,
    },
    Segment {
        host: usize,
        connection: u64,
        sequence: usize,
    },
    Read {
        host: usize,
        report: usize,
    },
    Acknowledged {
        host: usize,
        connection: u64,
        up_to: usize,
        is_read: bool,
    },
    Timer {
        host: usize,
        connection: u64,
        timer: u64,
    },
}
