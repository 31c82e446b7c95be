//! A stack as a Compose file that says everything: [`print`], the opposite of [`crate::load`].
//!
//! What is printed means the same when it is read again, and prints the same then. Reading order: [`print`] here,
//! `service`, `engine` (what only an engine gives), `deploy`, `extension` (what Compose has no key for), `words` (values
//! as the readers take them). Every default that a reader of the file may want to know is written out.

mod deploy;
mod engine;
mod extension;
mod service;
mod words;

use remuda_api::spec::{NetworkSpec, StackSpec, VolumeSpec};
use serde_json::{Map, Value, json};

use words::{Object, escaped};

/// The stack as the tree of a Compose file, `$` in values doubled.
pub fn print(spec: &StackSpec) -> Value {
    let mut file = Object::default();
    file.put("name", spec.name.as_str());
    let services = spec.services.iter().map(|(name, service)| (name.clone(), service::print(service)));
    file.put("services", services.collect::<Map<_, _>>());
    let networks = spec.networks.iter().map(|(name, network)| (name.clone(), print_network(network)));
    file.put_some("networks", networks.collect::<Map<_, _>>());
    let volumes = spec.volumes.iter().map(|(key, volume)| (key.clone(), print_volume(&spec.name, key, volume)));
    file.put_some("volumes", volumes.collect::<Map<_, _>>());
    escaped(file.into())
}

/// A name of its own is what makes a network shared.
fn print_network(network: &NetworkSpec) -> Value {
    let mut printed = Object::default();
    if let Some(name) = &network.external {
        printed.put("name", name.as_str());
    }
    printed.put("internal", network.internal);
    printed.into()
}

fn print_volume(stack: &str, key: &str, volume: &VolumeSpec) -> Value {
    let name = volume.name.clone().unwrap_or_else(|| format!("{stack}_{key}"));
    if volume.external {
        return json!({"name": name, "external": true});
    }
    let mut printed = Object::default();
    printed.put("name", name);
    printed.put("driver", volume.driver.as_deref().unwrap_or("local"));
    printed.put_some("driver_opts", words::pairs(&volume.driver_options));
    printed.into()
}
