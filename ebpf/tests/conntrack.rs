//! How a flow's state moves.

use remuda_abi::flow::FlowState::{Closing, Established, New};
use remuda_ebpf::{
    conntrack::{after_original, after_reply},
    packet::{TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN},
};

#[test]
fn a_flow_is_established_when_its_backend_answers_not_when_its_client_insists() {
    assert_eq!(after_original(New as u8, TCP_SYN), New as u8);
    assert_eq!(after_original(New as u8, TCP_ACK), New as u8);
    assert_eq!(after_reply(New as u8, TCP_SYN | TCP_ACK), Established as u8);
    assert_eq!(after_reply(New as u8, 0), Established as u8, "UDP has no flags");
    assert_eq!(after_original(Established as u8, TCP_ACK), Established as u8);
}

#[test]
fn either_side_closes_it_and_a_new_syn_opens_it_again() {
    for flag in [TCP_FIN | TCP_ACK, TCP_RST] {
        assert_eq!(after_original(Established as u8, flag), Closing as u8);
        assert_eq!(after_reply(Established as u8, flag), Closing as u8);
    }
    assert_eq!(after_reply(Closing as u8, TCP_ACK), Closing as u8);
    assert_eq!(after_original(Closing as u8, TCP_SYN), New as u8);
}
