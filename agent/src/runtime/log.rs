//! What is read from a unit's log.

/// One line of a unit's output, its newline included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogChunk {
    pub stream: Stream,
    /// Unix milliseconds.
    pub time_ms: u64,
    pub bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}
