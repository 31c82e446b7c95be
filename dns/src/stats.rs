//! What happened so far, as plain counters: no log line per query, no lock.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::message::{A, AAAA, ANY, PTR, Rcode};
use crate::reply::Silence;

/// A snapshot of all counters since the server started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stats {
    counts: [u64; COUNTERS.len()],
}

impl Stats {
    pub fn get(&self, counter: Counter) -> u64 {
        self.counts[counter as usize]
    }

    /// Metric name, label and value of its one label, count: ready for an exporter.
    pub fn rows(&self) -> impl Iterator<Item = (&'static str, (&'static str, &'static str), u64)> + '_ {
        COUNTERS.iter().zip(self.counts).map(|((_, metric, label, value), count)| (*metric, (*label, *value), count))
    }
}

macro_rules! counters {
    ($($counter:ident: $metric:literal $label:ident = $value:literal;)*) => {
        /// One thing that is counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Counter { $($counter,)* }
        const COUNTERS: &[(Counter, &str, &str, &str)] =
            &[$((Counter::$counter, $metric, stringify!($label), $value),)*];
    };
}
counters! {
    QueriesUdp: "dns_queries_total" transport = "udp";
    QueriesTcp: "dns_queries_total" transport = "tcp";
    NoError: "dns_answers_total" rcode = "NOERROR";
    FormErr: "dns_answers_total" rcode = "FORMERR";
    ServFail: "dns_answers_total" rcode = "SERVFAIL";
    NxDomain: "dns_answers_total" rcode = "NXDOMAIN";
    NotImp: "dns_answers_total" rcode = "NOTIMP";
    Refused: "dns_answers_total" rcode = "REFUSED";
    BadVers: "dns_answers_total" rcode = "BADVERS";
    KindA: "dns_answered_types_total" type = "A";
    KindAaaa: "dns_answered_types_total" type = "AAAA";
    KindPtr: "dns_answered_types_total" type = "PTR";
    KindAny: "dns_answered_types_total" type = "ANY";
    KindOther: "dns_answered_types_total" type = "other";
    Forwarded: "dns_forwards_total" result = "answered";
    ForwardTruncated: "dns_forwards_total" result = "truncated";
    ForwardFailed: "dns_forwards_total" result = "no_upstream_answered";
    ForwardWithoutUpstream: "dns_forwards_total" result = "no_upstream_configured";
    ForwardOverLimit: "dns_forwards_total" result = "over_limit";
    UpstreamQueries: "dns_upstream_total" event = "queries";
    UpstreamErrors: "dns_upstream_total" event = "timeouts_and_errors";
    UpstreamForgeries: "dns_upstream_total" event = "answers_to_nothing_asked";
    DropUnknownAsker: "dns_drops_total" reason = "unknown_asker";
    DropNotAQuery: "dns_drops_total" reason = "not_a_query";
    DropSocketFull: "dns_drops_total" reason = "send_buffer_full";
    DropTcpLimit: "dns_drops_total" reason = "tcp_connection_limit";
    DropTcpBadLength: "dns_drops_total" reason = "tcp_bad_length";
}

/// The counters themselves.
#[derive(Default)]
pub(crate) struct Counters {
    counts: [AtomicU64; COUNTERS.len()],
}

impl Counters {
    pub(crate) fn add(&self, counter: Counter) {
        self.counts[counter as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Stats {
        Stats { counts: std::array::from_fn(|at| self.counts[at].load(Ordering::Relaxed)) }
    }

    pub(crate) fn add_answer(&self, rcode: Rcode, kind: Option<u16>) {
        self.add(match rcode {
            Rcode::NoError => Counter::NoError,
            Rcode::FormErr => Counter::FormErr,
            Rcode::ServFail => Counter::ServFail,
            Rcode::NxDomain => Counter::NxDomain,
            Rcode::NotImp => Counter::NotImp,
            Rcode::Refused => Counter::Refused,
            Rcode::BadVers => Counter::BadVers,
        });
        self.add(match kind {
            Some(A) => Counter::KindA,
            Some(AAAA) => Counter::KindAaaa,
            Some(PTR) => Counter::KindPtr,
            Some(ANY) => Counter::KindAny,
            _ => Counter::KindOther,
        });
    }

    pub(crate) fn add_silence(&self, silence: Silence) {
        self.add(match silence {
            Silence::UnknownAsker => Counter::DropUnknownAsker,
            Silence::NotAQuery => Counter::DropNotAQuery,
        });
    }
}
