//! Fetching images: once for all units that wait for one, with how far it is and why it failed in words.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bollard::auth::DockerCredentials;
use bollard::models::CreateImageInfo;
use bollard::query_parameters::CreateImageOptions;
use futures::StreamExt;
use remuda_api::assignment::Registry;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use super::engine::{Engine, EngineError, LOOK_LIMIT};
use super::reference::Reference;
use super::work::{Job, Trouble};

/// Images fetched at the same time: more only share the line.
const AT_ONCE: usize = 3;
/// An engine that says nothing for this long has lost the registry.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often the words change.
const SAY_EVERY: Duration = Duration::from_millis(500);

/// What is being fetched, and who we are to registries.
pub(super) struct Pulls {
    under_way: Mutex<HashMap<Wanted, watch::Receiver<Progress>>>,
    places: Semaphore,
    registries: Mutex<Vec<Registry>>,
}

/// An image for a platform (empty = this one's).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Wanted {
    image: String,
    platform: String,
}

#[derive(Clone, Debug)]
enum Progress {
    /// In words: `34 of 80 MB`; empty before anything is known.
    Going(String),
    Done(Result<(), EngineError>),
}

impl Default for Pulls {
    fn default() -> Pulls {
        Pulls { under_way: Mutex::default(), places: Semaphore::new(AT_ONCE), registries: Mutex::default() }
    }
}

impl Pulls {
    pub(super) fn log_in(&self, registries: &[Registry]) {
        *self.registries.lock().unwrap_or_else(PoisonError::into_inner) = registries.to_vec();
    }

    fn registry(&self, address: &str) -> Option<Registry> {
        let registries = self.registries.lock().unwrap_or_else(PoisonError::into_inner);
        registries.iter().find(|registry| Reference::is_same_registry(&registry.address, address)).cloned()
    }
}

impl Job {
    /// The image is not there, and it may be fetched.
    pub(super) async fn pull_missing(&self) -> Result<(), Trouble> {
        let image = &self.spec.image;
        if self.spec.engine.pull == "never" {
            let words = "is not on this host, and is not to be pulled (`pull_policy: never`): bring it with `docker load` \
                         or `docker import`";
            return Err(Trouble::new(format!("the image {image} {words}")));
        }
        self.pull().await
    }

    /// Fetches the image although it may be there. A registry that is not reached keeps no image that is here from
    /// running: a host without a way out runs what was brought to it.
    pub(super) async fn pull_newest(&self) -> Result<(), Trouble> {
        let Err(trouble) = self.pull().await else { return Ok(()) };
        let image = self.spec.image.as_str();
        let look = |docker: bollard::Docker| async move { docker.inspect_image(image).await };
        if !is_unreachable(&trouble.words) || self.shared.engine.ask(LOOK_LIMIT, look).await.is_err() {
            return Err(trouble);
        }
        tracing::warn!("{}: runs the image {image} that is here: {}", self.spec.name, trouble.words);
        Ok(())
    }

    /// Fetches the image, together with everybody who waits for the same.
    pub(super) async fn pull(&self) -> Result<(), Trouble> {
        let wanted = Wanted { image: self.spec.image.clone(), platform: self.spec.engine.platform.clone() };
        let image = wanted.image.clone();
        self.say(format!("pulling {image}"));
        let mut progress = self.join_pull(wanted);
        loop {
            let now = progress.borrow_and_update().clone();
            match now {
                Progress::Done(result) => return result.map_err(|error| self.not_pulled(error)),
                Progress::Going(how_far) if how_far.is_empty() => {}
                Progress::Going(how_far) => self.say(format!("pulling {image}, {how_far}")),
            }
            if progress.changed().await.is_err() {
                return Err(Trouble::new(format!("pulling {image} was given up")));
            }
        }
    }

    /// The entrypoint of an image that may have to be fetched first.
    pub(super) async fn entrypoint_of_image(&self) -> Result<Option<Vec<String>>, Trouble> {
        let image = self.spec.image.as_str();
        let look = || self.shared.engine.ask(LOOK_LIMIT, |docker| async move { docker.inspect_image(image).await });
        let found = match look().await {
            Err(error) if error.is_missing() => {
                self.pull_missing().await?;
                look().await
            }
            found => found,
        };
        let found = found.map_err(Trouble::of(format!("look at the image {image}")))?;
        Ok(found.config.and_then(|config| config.entrypoint))
    }

    fn join_pull(&self, wanted: Wanted) -> watch::Receiver<Progress> {
        let mut under_way = self.shared.pulls.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(progress) = under_way.get(&wanted) {
            return progress.clone();
        }
        let (send, progress) = watch::channel(Progress::Going(String::new()));
        under_way.insert(wanted.clone(), progress.clone());
        let shared = self.shared.clone();
        tokio::spawn(async move {
            let pulls = &shared.pulls;
            let result = pulls.fetch(&shared.engine, &wanted, &send).await;
            pulls.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&wanted);
            send.send_replace(Progress::Done(result));
        });
        progress
    }

    /// With what to do about it.
    fn not_pulled(&self, error: EngineError) -> Trouble {
        let reference = Reference::of(&self.spec.image);
        let registry = reference.registry();
        let trouble = Trouble::from(error);
        let is_denied = ["denied", "unauthorized", "no basic auth", "authentication required", "forbidden"];
        let lower = trouble.words.to_ascii_lowercase();
        let cure = match is_denied.iter().any(|word| lower.contains(word)) {
            true => match self.shared.pulls.registry(registry) {
                Some(known) => format!(
                    "; the fleet logs in to {registry} as {}: see `remuda registry login {registry}`",
                    known.username
                ),
                None => format!("; if it is not public, log in with `remuda registry login {registry}`"),
            },
            false if is_unreachable(&lower) => {
                "; this host does not reach the registry: bring the image with `docker load` or `docker import`".into()
            }
            false => String::new(),
        };
        Trouble { words: format!("pull {}: {}{cure}", self.spec.image, trouble.words), ..trouble }
    }
}

/// The engine's words say that nobody answered, not that somebody refused.
fn is_unreachable(words: &str) -> bool {
    let words = words.to_ascii_lowercase();
    ["no such host", "dial tcp", "timeout"].iter().any(|sign| words.contains(sign))
}

impl Pulls {
    async fn fetch(&self, engine: &Engine, wanted: &Wanted, say: &watch::Sender<Progress>) -> Result<(), EngineError> {
        // Never closed.
        let _place = self.places.acquire().await.ok();
        let reference = Reference::of(&wanted.image);
        let options = CreateImageOptions {
            from_image: Some(reference.with_tag()),
            platform: wanted.platform.clone(),
            ..CreateImageOptions::default()
        };
        let credentials = self.registry(reference.registry()).map(credentials);
        let docker = engine.client(PATIENCE)?;
        let mut told = docker.create_image(Some(options), None, credentials);
        let (mut layers, mut heard) = (Layers::default(), Instant::now());
        let mut saying = tokio::time::interval(SAY_EVERY);
        loop {
            tokio::select! {
                next = told.next() => match next {
                    None => return Ok(()),
                    Some(Ok(info)) => layers.take(info),
                    Some(Err(error)) => return Err(engine.error(error)),
                },
                () = tokio::time::sleep_until(heard + PATIENCE) => {
                    let words = format!("the registry {} sent nothing for {PATIENCE:?}", reference.registry());
                    return Err(EngineError::Silent(words));
                }
                _ = saying.tick() => {
                    say.send_replace(Progress::Going(layers.words()));
                    continue;
                }
            }
            heard = Instant::now();
        }
    }
}

fn credentials(registry: Registry) -> DockerCredentials {
    DockerCredentials {
        username: Some(registry.username),
        password: Some(registry.password),
        serveraddress: Some(registry.address),
        ..DockerCredentials::default()
    }
}

/// Bytes by layer, (there, in all).
#[derive(Default)]
struct Layers(BTreeMap<String, (u64, u64)>);

impl Layers {
    fn take(&mut self, info: CreateImageInfo) {
        let (Some(id), Some(status)) = (info.id, info.status) else { return };
        let layer = self.0.entry(id).or_default();
        let detail = info.progress_detail.unwrap_or_default();
        let bytes = |count: Option<i64>| count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0);
        match status.as_str() {
            "Downloading" => *layer = (bytes(detail.current), bytes(detail.total)),
            // Unpacking has figures of its own.
            "Download complete" | "Extracting" | "Pull complete" => layer.0 = layer.1,
            _ => {}
        }
    }

    fn words(&self) -> String {
        let sum = |part: fn(&(u64, u64)) -> u64| self.0.values().map(part).sum::<u64>();
        match sum(|layer| layer.1) {
            0 => String::new(),
            all => format!("{} of {} MB", sum(|layer| layer.0).div_ceil(1_000_000), all.div_ceil(1_000_000)),
        }
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::ProgressDetail;

    use super::*;

    #[test]
    fn how_far_a_pull_is_is_the_sum_of_its_layers() {
        let mut layers = Layers::default();
        let mut told = |id: &str, status: &str, current: i64, total: i64| {
            layers.take(CreateImageInfo {
                id: Some(id.into()),
                status: Some(status.into()),
                progress_detail: Some(ProgressDetail { current: Some(current), total: Some(total) }),
                error_detail: None,
            });
            layers.words()
        };
        assert_eq!(told("a", "Pulling fs layer", 0, 0), "");
        assert_eq!(told("a", "Downloading", 4_000_000, 30_000_000), "4 of 30 MB");
        assert_eq!(told("b", "Downloading", 1_000_000, 50_000_000), "5 of 80 MB");
        assert_eq!(told("a", "Download complete", 0, 0), "31 of 80 MB");
        assert_eq!(told("a", "Extracting", 1, 2), "31 of 80 MB");
    }
}
