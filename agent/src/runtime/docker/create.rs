//! Making a unit whole: its volumes, its image, its holder, its container. Whatever is there already is kept.

use bollard::models::ContainerCreateBody;
use bollard::query_parameters::CreateContainerOptions;

use super::body;
use super::container::{Container, Phase};
use super::engine::EngineError;
use super::hold_image::HoldImage;
use super::labels::Role;
use super::work::{Job, Trouble};

impl Job {
    /// Until everything is there that a start needs.
    pub(super) async fn create(self) -> Result<(), Trouble> {
        self.when_there(Job::create_once).await
    }

    async fn create_once(self) -> Result<(), Trouble> {
        let engine = &self.spec.engine;
        if self.spec.image.is_empty() {
            return Err(Trouble::new("it has no image: runtime docker runs images, so name one"));
        }
        let is_wanted_new = engine.pull == "always" || self.spec.labels.iter().any(|label| label == PULL_ALWAYS);
        // One that only needs its network namespace again does not need its registry.
        if is_wanted_new && !self.has_unit() {
            self.pull_newest().await?;
            self.say("creating its container");
        }
        self.make_volumes().await?;
        if self.spec.network_mode != "managed" {
            return self.put_unit().await;
        }
        let holder = self.record().and_then(|record| record.holder).filter(Container::stays);
        // By the kernel's word: the engine's may be from before it was away.
        let (id, lives) = match holder {
            Some(holder) => (holder.id.clone(), holder.lives()),
            None => {
                self.remove_unit_of_another_holder().await?;
                (self.create_holder().await?, false)
            }
        };
        // It has to run only when the other starts.
        let (holder, unit) = tokio::join!(self.start_holder(id, lives), self.put_unit());
        unit.and(holder)
    }

    fn has_unit(&self) -> bool {
        self.record().and_then(|record| record.unit).is_some_and(|unit| unit.stays())
    }

    /// The engine binds a container to the id of its holder: with another one of the same name it never starts.
    async fn remove_unit_of_another_holder(&self) -> Result<(), Trouble> {
        match self.record().and_then(|record| record.unit).filter(|unit| !unit.lives()) {
            Some(unit) => {
                self.shared.remove_container(&unit.id).await.map_err(Trouble::of("remove what is left of it"))
            }
            None => Ok(()),
        }
    }

    /// Running, and so with a network namespace.
    async fn start_holder(&self, id: String, lives: bool) -> Result<(), Trouble> {
        if !lives {
            let _place = self.shared.place().await;
            self.shared
                .change(|docker| async move { docker.start_container(&id, None).await.map(|()| id) })
                .await
                .map_err(Trouble::of("start the holder of its network namespace"))?;
        }
        self.look_at(Role::Holder).await
    }

    async fn create_holder(&self) -> Result<String, Trouble> {
        let body = body::holder(&self.spec, &self.shared.owner, HoldImage::name());
        let created = match self.create_container(Role::Holder, body.clone()).await {
            Err(error) if is_image_missing(&error) => {
                let _alone = self.shared.importing.lock().await;
                HoldImage::import(&self.shared.engine).await.map_err(Trouble::of("import the holder's image"))?;
                self.create_container(Role::Holder, body).await
            }
            created => created,
        };
        created.map_err(Trouble::of("create the holder of its network namespace"))
    }

    async fn put_unit(&self) -> Result<(), Trouble> {
        match self.record().and_then(|record| record.unit) {
            Some(unit) if unit.phase == Phase::Dead => {
                self.shared.remove_container(&unit.id).await.map_err(Trouble::of("remove what is left of it"))?;
            }
            Some(_) => return Ok(()),
            None => {}
        }
        let body = self.unit_body().await?;
        let created = match self.create_container(Role::Unit, body.clone()).await {
            Err(error) if is_image_missing(&error) => {
                self.pull_missing().await?;
                self.say("creating its container");
                self.create_container(Role::Unit, body).await
            }
            created => created,
        };
        created.map_err(|error| self.refused(error))?;
        self.look_at(Role::Unit).await
    }

    /// An empty command is the image's to the engine, unless it is told the image's entrypoint by us.
    async fn unit_body(&self) -> Result<ContainerCreateBody, Trouble> {
        let mut body = body::unit(&self.spec, &self.shared.owner);
        if self.spec.engine.clear_command && self.spec.command.is_empty() && body.entrypoint.is_none() {
            body.entrypoint = self.entrypoint_of_image().await?;
        }
        Ok(body)
    }

    async fn look_at(&self, role: Role) -> Result<(), Trouble> {
        let name = role.container_name(&self.spec.name);
        self.shared.look(&name).await.map_err(Trouble::of(format!("look at {name}")))?;
        Ok(())
    }

    /// Returns its id. A container of ours that is left over under the name makes way.
    async fn create_container(&self, role: Role, body: ContainerCreateBody) -> Result<String, EngineError> {
        let name = role.container_name(&self.spec.name);
        let platform = if role == Role::Unit { self.spec.engine.platform.clone() } else { String::new() };
        let options = CreateContainerOptions { name: Some(name.clone()), platform };
        let _place = self.shared.place().await;
        let create = |body: ContainerCreateBody| {
            let options = Some(options.clone());
            self.shared.change(|docker| async move { docker.create_container(options, body).await })
        };
        match create(body.clone()).await {
            Ok(created) => Ok(created.id),
            Err(error) if error.is_conflict() => {
                self.make_way(&name, error).await?;
                create(body).await.map(|created| created.id)
            }
            Err(error) => Err(error),
        }
    }

    /// Removes what has the name, if it is ours.
    async fn make_way(&self, name: &str, conflict: EngineError) -> Result<(), EngineError> {
        match self.shared.look(name).await? {
            Some(ours) => self.shared.remove_container(&ours.id).await,
            None => Err(match conflict {
                EngineError::Refused { code, words } => EngineError::Refused {
                    code,
                    words: format!(
                        "{words} It is not Remuda's, and is left alone: rename it (`docker rename {name} NAME`) or \
                         remove it (`docker rm {name}`)"
                    ),
                },
                other => other,
            }),
        }
    }

    /// With what to do about it, where that is known.
    fn refused(&self, error: EngineError) -> Trouble {
        let trouble = Trouble::from(error);
        let words = &trouble.words;
        let cure = match () {
            () if words.contains("bind source path does not exist") => "; make it on this host, or mount another",
            () if words.contains("no space left") => "; see what takes the space with `docker system df`",
            () => "",
        };
        Trouble { words: format!("create its container from {}: {words}{cure}", self.spec.image), ..trouble }
    }
}

/// What Rancher's users write for `pull: always`.
const PULL_ALWAYS: &str = "io.rancher.container.pull_image=always";

fn is_image_missing(error: &EngineError) -> bool {
    matches!(error, EngineError::Refused { code: 404, words } if words.to_ascii_lowercase().contains("no such image"))
}
