//! What the engine says of a container whose image has a health check of its own.

use bollard::models;

use crate::observed::Health;

/// Nothing yet for an image without one.
pub(super) fn health(_told: Option<&models::Health>) -> Health {
    Health::default()
}
