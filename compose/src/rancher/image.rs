//! Images of Rancher's that stand for something other than a container: [`kind`].

/// What a service is, by its image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Containers,
    Balancer,
    External,
    /// `rancher/dns-service`: one more name for others.
    Alias,
}

/// The image that stands for a balancer, and for a service outside of the fleet.
pub(crate) const BALANCER: &str = "rancher/lb-service-haproxy";
pub(crate) const EXTERNAL: &str = "rancher/external-service";

/// What `image` stands for, whatever its tag.
pub(crate) fn kind(image: &str) -> Kind {
    let name = image.strip_prefix("docker.io/").unwrap_or(image);
    let name = name.split_once('@').map_or(name, |(name, _)| name);
    match name.split_once(':').map_or(name, |(name, _)| name) {
        // The first is Cattle's since 1.2, the second what came before it.
        BALANCER | "rancher/load-balancer-service" => Kind::Balancer,
        EXTERNAL => Kind::External,
        "rancher/dns-service" => Kind::Alias,
        _ => Kind::Containers,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_known_by_its_name_whatever_its_tag() {
        for image in [
            "rancher/lb-service-haproxy",
            "docker.io/rancher/lb-service-haproxy:v0.4.9",
            "rancher/load-balancer-service",
        ] {
            assert_eq!(kind(image), Kind::Balancer, "{image}");
        }
        assert_eq!(kind("rancher/external-service:1@sha256:00"), Kind::External);
        assert_eq!(kind("rancher/dns-service"), Kind::Alias);
        for image in
            ["haproxy", "mine/rancher/external-service", "rancher/external-service2", "host:5000/rancher/dns-service"]
        {
            assert_eq!(kind(image), Kind::Containers, "{image}");
        }
    }
}
