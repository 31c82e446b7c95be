//! Containers from images, each host with an engine of its own; the images are stand-ins (`remuda_lab::image`).
//!
//! Figures are printed (`cargo xtask bench docker` measures them); what is asserted is that a thing happens, and what must not.

mod adoption;
mod data;
mod hms;
mod scale;
mod swarm_app;
mod trouble;

use remuda_lab::{residue, wait_for};
use remuda_tests::stack::Fleet;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// For what has to happen: no promise, but after this it is stuck.
const LIMIT: Duration = Duration::from_secs(60);

/// Three hosts whose engines have these images; `None` where no engine can run.
fn fleet(name: &str, images: &[(&str, u16)]) -> Option<Fleet> {
    let fleet = Fleet::with_docker(name, 3).unwrap()?;
    images.iter().for_each(|(image, port)| fleet.lab.load_image(image, *port).unwrap());
    Some(fleet)
}

/// Ends it and says what it left.
fn end(fleet: Fleet) {
    let name = fleet.lab.name.clone();
    drop(fleet);
    assert_eq!(residue(&name), Vec::<String>::new());
}

/// Names of the containers in a host's engine that are ours, holders too, running or not.
fn ours(fleet: &Fleet, host: &str) -> Vec<String> {
    let all = fleet.lab.engine(host).unwrap().containers().unwrap();
    let mut names: Vec<String> = all.iter().filter(|c| c["Labels"]["io.remuda.node"].is_string()).map(name).collect();
    names.sort();
    names
}

/// The same of all hosts.
fn ours_everywhere(fleet: &Fleet) -> Vec<String> {
    fleet.lab.host_names().iter().flat_map(|host| ours(fleet, host)).collect()
}

fn name(container: &Value) -> String {
    container["Names"][0].as_str().unwrap_or_default().trim_start_matches('/').to_owned()
}

/// What `curl` at the outside client gets of this address: the page, if it is a 200.
fn page(fleet: &Fleet, url: &str) -> anyhow::Result<String> {
    fleet.lab.output("client", &["curl", "--silent", "--show-error", "--fail", "--max-time", "5", url])
}

/// The pages of a published port of every host, in the order of hosts.
fn pages(fleet: &Fleet, port: u16) -> Vec<String> {
    let hosts = &fleet.lab.state.hosts;
    let page = |ip: &str| {
        let url = format!("http://{ip}:{port}/");
        wait_for(&format!("{url} answers"), LIMIT, || page(fleet, &url).map(Some)).unwrap()
    };
    hosts.iter().map(|host| page(&host.underlay_ip)).collect()
}

/// Our copy of `../shared/corpus/NAME`, the files as people have them.
fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name)
}

#[test]
fn our_copies_of_the_corpus_are_what_was_given() {
    let given = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
    if !given.exists() {
        return remuda_lab::skip("no ../shared/corpus beside this tree to compare with");
    }
    for file in
        ["hms/docker-compose.yml", "hms/rancher-compose.yml", "swarm-app/docker-compose.yml", "swarm-app/global.yml"]
    {
        let read = |path: PathBuf| std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert_eq!(read(corpus(file)), read(given.join(file)), "{file}");
    }
}
