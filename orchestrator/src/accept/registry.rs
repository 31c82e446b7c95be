//! A registry's address as images name it, and whether a credential for it can be used.

use remuda_api::resource::{FieldError, RegistryLogin};

/// Where images without a registry in their name come from.
pub const DOCKER_HUB: &str = "docker.io";
/// What people also call it.
const DOCKER_HUB_NAMES: [&str; 4] = ["docker.io", "index.docker.io", "registry-1.docker.io", "hub.docker.com"];
/// A host name and a port.
const ADDRESS_MAX_BYTES: usize = 260;
/// Tokens of clouds are some 2 KiB.
const SECRET_MAX_BYTES: usize = 16 << 10;

/// `https://Registry.Example:5000/v2/` as `registry.example:5000`; every name of Docker Hub as `docker.io`.
/// Errors in words when it is no address.
pub fn address(typed: &str) -> Result<String, String> {
    let bare = typed.trim();
    let bare = bare.strip_prefix("https://").or_else(|| bare.strip_prefix("http://")).unwrap_or(bare);
    let host = bare.split('/').next().unwrap_or_default().to_ascii_lowercase();
    if DOCKER_HUB_NAMES.contains(&host.as_str()) {
        return Ok(DOCKER_HUB.to_owned());
    }
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !name.ends_with(']') || host.starts_with('[') => (name, Some(port)),
        _ => (host.as_str(), None),
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || ".-_[]:".contains(c);
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|number| number != 0);
    if name.is_empty()
        || !name.chars().all(is_name)
        || port.is_some_and(|port| !is_port(port))
        || host.len() > ADDRESS_MAX_BYTES
    {
        return Err(
            "is no registry: write HOST or HOST:PORT as in the image's name, such as registry.example:5000".into()
        );
    }
    Ok(host)
}

/// Everything wrong with a credential.
pub fn login(login: &RegistryLogin) -> Vec<FieldError> {
    let fault = |field: &str, value: &str| {
        let message = match value.len() {
            0 => "is empty".to_owned(),
            _ if value.chars().any(char::is_control) => "holds control characters, such as a line end".to_owned(),
            n if n > SECRET_MAX_BYTES => format!("{n} bytes; at most {SECRET_MAX_BYTES}"),
            _ => return None,
        };
        Some(FieldError { field: field.to_owned(), message })
    };
    [fault("username", &login.username), fault("password", &login.password)].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_as_images_name_it_however_it_was_typed() {
        for (typed, known) in [
            ("https://Registry.Example:5000/v2/", "registry.example:5000"),
            ("registry.example", "registry.example"),
            ("https://index.docker.io/v1/", "docker.io"),
            ("docker.io", "docker.io"),
            ("192.0.2.1:5000", "192.0.2.1:5000"),
            ("[2001:db8::1]:5000", "[2001:db8::1]:5000"),
        ] {
            assert_eq!(address(typed).as_deref(), Ok(known), "{typed}");
        }
        for typed in ["", "https://", "a b", "registry:0", "registry:99999", "registry:x", "a\u{1b}b"] {
            assert!(address(typed).is_err(), "{typed:?}");
        }
    }

    #[test]
    fn a_credential_has_a_user_and_a_password_of_one_line() {
        let with = |username: &str, password: &str| {
            login(&RegistryLogin { username: username.into(), password: password.into() }).len()
        };
        assert_eq!([with("ann", "secret"), with("", "secret"), with("ann", "secret\n"), with("", "")], [0, 1, 1, 2]);
    }
}
