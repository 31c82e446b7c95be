//! An image's name: which registry has it, and what exactly is wanted.

/// As people write it: `nginx`, `rawmind/hms:1.2`, `registry.example:5000/team/app@sha256:…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reference<'a> {
    image: &'a str,
}

/// Names without a registry are of this one.
const DOCKER_HUB: &str = "docker.io";
/// What else it is called.
const DOCKER_HUB_NAMES: [&str; 3] = ["docker.io", "index.docker.io", "registry-1.docker.io"];

impl<'a> Reference<'a> {
    pub(super) fn of(image: &'a str) -> Reference<'a> {
        Reference { image }
    }

    /// The first part, if it looks like a host's name: it has a dot or a port, or is `localhost`.
    pub(super) fn registry(self) -> &'a str {
        match self.image.split_once('/') {
            Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
            _ => DOCKER_HUB,
        }
    }

    /// Without tag and digest the engine would fetch every tag there is.
    pub(super) fn with_tag(self) -> String {
        let last = self.image.rsplit('/').next().unwrap_or_default();
        match last.contains([':', '@']) {
            true => self.image.to_owned(),
            false => format!("{}:latest", self.image),
        }
    }

    /// Whether an address that somebody logged in to is that registry.
    pub(super) fn is_same_registry(address: &str, registry: &str) -> bool {
        let host = address.split_once("://").map_or(address, |(_, rest)| rest).split('/').next().unwrap_or_default();
        let is_hub = |name: &str| DOCKER_HUB_NAMES.contains(&name);
        host == registry || (is_hub(host) && is_hub(registry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_is_the_first_part_if_it_looks_like_a_host() {
        let registries = [
            ("nginx", "docker.io"),
            ("rawmind/hms:1.2", "docker.io"),
            ("localhost/app", "localhost"),
            ("registry.example/app", "registry.example"),
            ("10.0.0.1:5000/team/app@sha256:00", "10.0.0.1:5000"),
        ];
        for (image, registry) in registries {
            assert_eq!(Reference::of(image).registry(), registry, "{image}");
        }
    }

    #[test]
    fn an_image_without_a_tag_is_the_latest() {
        assert_eq!(Reference::of("nginx").with_tag(), "nginx:latest");
        for image in ["nginx:1.27", "a@sha256:00", "host:5000/a:b"] {
            assert_eq!(Reference::of(image).with_tag(), image);
        }
        assert_eq!(Reference::of("host:5000/a").with_tag(), "host:5000/a:latest");
    }

    #[test]
    fn docker_hub_has_many_names() {
        assert!(Reference::is_same_registry("https://index.docker.io/v1/", "docker.io"));
        assert!(Reference::is_same_registry("registry.example:5000", "registry.example:5000"));
        assert!(!Reference::is_same_registry("registry.example", "registry.example:5000"));
    }
}
