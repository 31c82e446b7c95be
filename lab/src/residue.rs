//! What a lab left behind, in words: empty after `lab down`, and the end of every network test.

use crate::clean;
use crate::lab::{dir, prefix, state_path};
use crate::netns;
use crate::underlay::Underlay;

/// Everything on this machine that belongs to the lab of this name: none after [`crate::Lab::down`].
pub fn residue(name: &str) -> Vec<String> {
    let underlay = Underlay::new(&prefix(name));
    let mut left: Vec<String> = Vec::new();
    left.extend(clean::namespaces(&underlay).iter().map(|name| format!("network namespace {name}")));
    left.extend(
        clean::processes(name, &underlay)
            .iter()
            .map(|pid| format!("process {pid}: {}", crate::process::argv(*pid).join(" "))),
    );
    left.extend(clean::mounts(name).iter().map(|path| format!("mount {}", path.display())));
    let pins = clean::bpf_root(name);
    left.extend(pins.exists().then(|| format!("pins in {}", pins.display())));
    left.extend(clean::empty_cgroups().iter().map(|path| format!("cgroup {}", path.display())));
    left.extend(clean::engine_cgroups(name).iter().map(|path| format!("cgroup {}", path.display())));
    let link = underlay.machine_link();
    if nix::net::if_::if_nametoindex(link.as_str()).is_ok() {
        left.push(format!("interface {link}"));
    }
    let files = [dir(name), state_path(name)];
    left.extend(files.iter().filter(|path| path.exists()).map(|path| format!("file {}", path.display())));
    left
}

/// Names in /run/netns that begin with `prefix`: for tests that make namespaces without a lab.
pub fn namespaces_named(prefix: &str) -> Vec<String> {
    netns::names().into_iter().filter(|name| name.starts_with(prefix)).collect()
}
