//! The API described for machines, from the handlers themselves.

use axum::Json;
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};

use super::{containers, events, exec, hosts, keys, logs, registries, services, stacks, system, volumes};

#[derive(OpenApi)]
#[openapi(
    info(title = "Remuda", description = "Service networking for container hosts"),
    paths(
        system::version,
        system::create_token,
        system::healthz,
        system::readyz,
        system::metrics,
        stacks::list,
        stacks::show,
        stacks::apply,
        stacks::remove,
        services::list,
        services::show,
        services::spec,
        services::scale,
        services::remove,
        logs::service,
        containers::list,
        containers::show,
        containers::dns,
        logs::container,
        exec::open,
        hosts::list,
        hosts::show,
        hosts::change,
        hosts::remove,
        keys::list,
        keys::create,
        keys::revoke,
        services::start,
        services::stop,
        registries::list,
        registries::show,
        registries::login,
        registries::logout,
        volumes::list,
        volumes::remove,
        events::list,
        events::watch,
    )
)]
struct Api;

/// The OpenAPI document of this server.
pub fn document() -> utoipa::openapi::OpenApi {
    let mut document = Api::openapi();
    let scheme = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
    document.components.get_or_insert_default().add_security_scheme("key", scheme);
    document.security = Some(vec![SecurityRequirement::new("key", Vec::<String>::new())]);
    document
}

pub async fn serve() -> Json<utoipa::openapi::OpenApi> {
    Json(document())
}
