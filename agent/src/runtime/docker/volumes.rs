//! Named volumes: made before they are used, removed when somebody asks.

use std::collections::HashMap;

use bollard::models::VolumeCreateRequest;
use bollard::query_parameters::RemoveVolumeOptions;
use remuda_api::engine::Mount;

use super::engine::{CHANGE_LIMIT, Engine, EngineError, LOOK_LIMIT};
use super::labels;
use super::work::{Job, Trouble};

impl Job {
    /// Every named volume is there afterwards; an external one must be there already.
    pub(super) async fn make_volumes(&self) -> Result<(), Trouble> {
        let named = self.spec.engine.mounts.iter().filter(|m| m.kind == "volume" && !m.source.is_empty());
        for mount in named {
            match mount.is_external {
                true => self.find_volume(&mount.source).await?,
                false => self.make_volume(mount).await?,
            }
        }
        Ok(())
    }

    async fn find_volume(&self, name: &str) -> Result<(), Trouble> {
        let look = |docker: bollard::Docker| async move { docker.inspect_volume(name).await };
        match self.shared.engine.ask(LOOK_LIMIT, look).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_missing() => Err(Trouble::new(format!(
                "the external volume {name} does not exist on host {}: make it there with `docker volume create {name}`",
                self.shared.host
            ))),
            Err(error) => Err(Trouble::of(format!("look for the volume {name}"))(error)),
        }
    }

    /// One that exists is as it is: the engine keeps it, and refuses another driver.
    async fn make_volume(&self, mount: &Mount) -> Result<(), Trouble> {
        let request = request(mount, labels::of_volume(&self.spec, &self.shared.owner));
        let made = self.shared.change(|docker| async move { docker.create_volume(request).await }).await;
        made.map(drop).map_err(Trouble::of(format!("make the volume {}", mount.source)))
    }
}

fn request(mount: &Mount, labels: HashMap<String, String>) -> VolumeCreateRequest {
    let option = |text: &String| {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        (key.to_owned(), value.to_owned())
    };
    VolumeCreateRequest {
        name: Some(mount.source.clone()),
        driver: Some(if mount.driver.is_empty() { "local".into() } else { mount.driver.clone() }),
        driver_opts: Some(mount.driver_options.iter().map(option).collect()),
        labels: Some(labels),
        ..VolumeCreateRequest::default()
    }
}

/// Removes a volume with its data; one that is not there is removed already. Errors with the engine's words while a
/// container uses it.
pub(super) async fn remove(engine: &Engine, name: &str) -> Result<(), EngineError> {
    let remove = |docker: bollard::Docker| async move { docker.remove_volume(name, None::<RemoveVolumeOptions>).await };
    match engine.ask(CHANGE_LIMIT, remove).await {
        Err(error) if !error.is_missing() => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_made_with_its_driver_and_what_that_wants() {
        let mount = Mount {
            source: "shop_db".into(),
            driver_options: vec!["type=nfs".into(), "o=addr=10.0.0.1,rw".into()],
            ..Mount::default()
        };
        let request = request(&mount, HashMap::new());
        assert_eq!(request.driver.as_deref(), Some("local"));
        let options = request.driver_opts.expect("options");
        assert_eq!((options["type"].as_str(), options["o"].as_str()), ("nfs", "addr=10.0.0.1,rw"));
    }
}
