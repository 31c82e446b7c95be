//! Starting: what goes wrong is one sentence that says what to do, and nothing is left behind.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use remuda_orchestrator::{ServerOptions, start};

fn options(dir: &Path) -> ServerOptions {
    let mut options = ServerOptions::new(dir.to_owned(), Ipv4Addr::LOCALHOST);
    options.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    options
}

async fn refusal(options: ServerOptions) -> String {
    let error = start(options).await.err().expect("refused");
    let words = format!("{error:#}");
    assert!(!words.contains('\n'), "one sentence: {words}");
    words
}

#[tokio::test]
async fn a_taken_port_is_named_and_no_state_is_made() {
    let dir = tempfile::tempdir().expect("a directory");
    let holder = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut options = options(dir.path());
    options.listen = holder.local_addr().expect("its address");
    let words = refusal(options).await;
    assert!(words.contains("is taken by another process") && words.contains("--listen"), "{words}");
    assert_eq!(std::fs::read_dir(dir.path()).expect("the directory").count(), 0);
}

#[tokio::test]
async fn a_data_directory_that_cannot_be_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("file");
    std::fs::write(&file, "").expect("written");
    let words = refusal(options(&file.join("below"))).await;
    assert!(words.contains("--data-dir"), "{words}");
}

#[tokio::test]
async fn two_servers_never_share_a_data_directory() {
    let dir = tempfile::tempdir().expect("a directory");
    let _first = start(options(dir.path())).await.expect("starts");
    let words = refusal(options(dir.path())).await;
    assert!(words.contains("another process has this store open"), "{words}");
}

#[tokio::test]
async fn pools_that_overlap_or_are_too_small_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    for (overlay, vip, expected) in [
        ("10.42.0.0/16", "10.42.128.0/17", "overlap"),
        ("10.42.0.0/28", "10.43.0.0/16", "too small"),
        ("10.42.0.1/16", "10.43.0.0/16", "host bits"),
    ] {
        let mut options = options(dir.path());
        options.overlay_pools = vec![overlay.parse().expect("a pool")];
        options.vip_pools = vec![vip.parse().expect("a pool")];
        let words = refusal(options).await;
        assert!(words.contains(expected), "{words}");
    }
}
