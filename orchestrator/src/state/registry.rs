//! Who this fleet is to registries of images.

use serde::{Deserialize, Serialize};

/// A credential for one registry, kept as it must be sent: never shown again, and in no event.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Registry {
    pub address: String,
    pub username: String,
    pub password: String,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Registry({} as {})", self.address, self.username)
    }
}
