//! A host's reports on their way to the server: in order, sent again until acknowledged, as TCP does it.

use super::REPORT_MS;

/// Linux: the shortest wait for an acknowledgement; each further one is twice as long.
pub const RTO_FIRST_MS: u64 = 200;
/// Segments under way without an acknowledgement, at first.
const WINDOW: usize = 10;
/// The agent gives a connection up that says nothing for so long (a ping each 2 s, 2 s for its answer).
pub const PATIENCE_MS: u64 = 4_000;

#[derive(Default)]
pub struct Stream {
    /// Counts connections; what belongs to an older one is void. Even while there is none.
    pub connection: u64,
    /// Indices of reports, in order.
    sent: Vec<usize>,
    has_arrived: Vec<bool>,
    delivered: usize,
    acknowledged: usize,
    pub rto_ms: u64,
    /// Counts timers; an older one is void.
    pub timer: u64,
    /// When the server last said something.
    pub progress_ms: u64,
}

impl Stream {
    pub fn is_connected(&self) -> bool {
        self.connection % 2 == 1
    }

    pub fn connect(&mut self, now_ms: u64) {
        let connection = (self.connection + 1) | 1;
        let timer = self.timer + 1;
        *self = Stream { connection, timer, rto_ms: RTO_FIRST_MS, progress_ms: now_ms, ..Stream::default() };
    }

    pub fn disconnect(&mut self) {
        self.connection = (self.connection | 1) + 1;
    }

    pub fn is_given_up(&self, now_ms: u64) -> bool {
        self.is_connected() && now_ms - self.progress_ms > PATIENCE_MS + REPORT_MS
    }

    /// Takes a report; answers its sequence number if it may be sent now.
    pub fn push(&mut self, report: usize) -> Option<usize> {
        self.sent.push(report);
        self.has_arrived.push(false);
        (self.sent.len() - self.acknowledged <= WINDOW).then_some(self.sent.len() - 1)
    }

    /// A segment reached the server's host; answers the reports that can be read now.
    pub fn arrive(&mut self, sequence: usize) -> Vec<usize> {
        self.has_arrived[sequence] = true;
        let from = self.delivered;
        while self.has_arrived.get(self.delivered) == Some(&true) {
            self.delivered += 1;
        }
        self.sent[from..self.delivered].to_vec()
    }

    pub fn delivered(&self) -> usize {
        self.delivered
    }

    /// Answers segments that the window had no room for.
    pub fn acknowledge(&mut self, up_to: usize, now_ms: u64) -> std::ops::Range<usize> {
        let before = self.acknowledged;
        self.acknowledged = before.max(up_to);
        if self.acknowledged > before {
            (self.rto_ms, self.timer, self.progress_ms) = (RTO_FIRST_MS, self.timer + 1, now_ms);
        }
        let end = |acknowledged: usize| self.sent.len().min(acknowledged + WINDOW);
        end(before)..end(self.acknowledged)
    }

    /// The oldest segment without an acknowledgement.
    pub fn oldest(&self) -> Option<usize> {
        (self.acknowledged < self.sent.len()).then_some(self.acknowledged)
    }
}
