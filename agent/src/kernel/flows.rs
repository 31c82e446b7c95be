//! Breaking what leads to a backend that is gone, so that programs get an error at once instead of hanging.

use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use remuda_abi::flow::{FlowKey, KEY_REPLY};
use serde::{Deserialize, Serialize};

use super::Kernel;
use super::error::{Attempt, KernelError};
use super::maps::Raw;
use super::namespace::{inside, netns_cookie};
use super::peers::{be, gone};
use super::sockets::destroy_sockets_to;

/// Where a local endpoint's sockets live.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Namespace {
    /// Proves that `path` still is the namespace it was.
    cookie: u64,
    path: PathBuf,
}

/// TCP connections to `ips` are reset and connected UDP sockets destroyed, in the host's and every local endpoint's
/// namespace; what the programs remember of flows to it is forgotten.
pub(crate) fn break_flows(kernel: &mut Kernel, ips: &[Ipv4Addr]) -> Result<(), KernelError> {
    forget_flows(kernel, ips)?;
    let what = || format!("break connections to {ips:?}");
    let mut broken = destroy_sockets_to(ips).attempt(what)?;
    for (endpoint, namespace) in kernel.record.namespaces.clone() {
        let (cookie, ips) = (namespace.cookie, ips.to_vec());
        // Elsewhere or gone: its sockets went with it.
        let result =
            inside(&namespace.path, move || if netns_cookie()? == cookie { destroy_sockets_to(&ips) } else { Ok(0) });
        match result {
            Ok(count) => broken += count,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(%endpoint, %error, "connections of this endpoint could not be looked at"),
        }
    }
    tracing::debug!(?ips, broken, "connections to backends that are gone were broken");
    Ok(())
}

/// Removes conntrack entries of flows the backends served, and per-packet translations that lead to them.
fn forget_flows(kernel: &mut Kernel, ips: &[Ipv4Addr]) -> Result<(), KernelError> {
    let what = || format!("forget flows of {ips:?}");
    let ips_be: Vec<u32> = ips.iter().map(|ip| be(*ip)).collect();
    let served: Vec<Raw<FlowKey>> =
        kernel.maps.conntrack4.keys().flatten().filter(|k| ips_be.contains(&k.0.src_be)).collect();
    for key in served {
        gone(kernel.maps.conntrack4.remove(&key)).attempt(what)?;
    }
    let originals = kernel.maps.originals4.iter().flatten();
    let asked: Vec<Raw<FlowKey>> =
        originals.filter(|(_, v)| ips_be.contains(&v.0.backend_ip_be)).map(|(k, _)| k).collect();
    for key in asked {
        gone(kernel.maps.originals4.remove(&key)).attempt(what)?;
    }
    let translations = kernel.maps.vipflows4.iter().flatten();
    let leads_there = |key: &FlowKey, to_be: u32| match key.direction {
        KEY_REPLY => ips_be.contains(&key.src_be),
        _ => ips_be.contains(&to_be),
    };
    let led: Vec<Raw<FlowKey>> = translations.filter(|(k, v)| leads_there(&k.0, v.0.ip_be)).map(|(k, _)| k).collect();
    for key in led {
        gone(kernel.maps.vipflows4.remove(&key)).attempt(what)?;
    }
    Ok(())
}

/// Notes where an endpoint's sockets are; kept over restarts of the agent.
pub(crate) fn note_namespace(kernel: &mut Kernel, ip: Ipv4Addr, cookie: u64, path: &Path) -> Result<(), KernelError> {
    let namespace = Namespace { cookie, path: path.to_path_buf() };
    if kernel.record.namespaces.get(&ip) == Some(&namespace) {
        return Ok(());
    }
    kernel.record.namespaces.insert(ip, namespace);
    kernel.record.save()
}

pub(crate) fn forget_namespace(kernel: &mut Kernel, ip: Ipv4Addr) -> Result<(), KernelError> {
    match kernel.record.namespaces.remove(&ip) {
        Some(_) => kernel.record.save(),
        None => Ok(()),
    }
}
