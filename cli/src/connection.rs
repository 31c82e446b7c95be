//! Where the server is, how it proves that it is ours, and the key that proves who asks.

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::{Context, Failure};

/// The server's data directory where nothing else is said: root on that host needs no flags.
pub const DEFAULT_DATA_DIR: &str = "/var/lib/remuda";
/// The API on this very host.
pub const DEFAULT_API: &str = "https://127.0.0.1:8443";
/// The fleet's CA certificate (PEM) in the server's data directory.
pub const CA_FILE: &str = "ca.pem";
/// The first API key in the server's data directory, 0600.
pub const KEY_FILE: &str = "admin.key";
/// Keys and certificates are a few KiB; a larger file is another file.
const FILE_MAX_BYTES: u64 = 1 << 20;

/// How to reach the server; the same for every command.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Connection")]
pub struct ConnectionArgs {
    /// Where the server's API is [default: https://127.0.0.1:8443]
    #[arg(long, env = "REMUDA_API", value_name = "URL", global = true, hide_env_values = true)]
    pub api: Option<String>,
    /// The fleet's CA certificate, PEM [default: /var/lib/remuda/ca.pem]
    #[arg(long, env = "REMUDA_CA", value_name = "FILE", global = true, hide_env_values = true)]
    pub ca: Option<PathBuf>,
    /// File that holds the API key [default: /var/lib/remuda/admin.key]
    #[arg(long, env = "REMUDA_KEY_FILE", value_name = "FILE", global = true, hide_env_values = true)]
    pub key_file: Option<PathBuf>,
}

/// All that is needed to ask; the key is never printed.
pub struct Connection {
    /// `https://host:port`, without a path.
    pub api: String,
    pub ca_pem: Vec<u8>,
    /// Where `ca_pem` was read, for error messages.
    pub ca_file: PathBuf,
    pub key: String,
    pub key_file: PathBuf,
}

impl ConnectionArgs {
    /// What a command talks to: flags, then the environment, then the files of a server on this host.
    pub fn connection(&self) -> Result<Connection, Failure> {
        let default = |file: &str| Path::new(DEFAULT_DATA_DIR).join(file);
        let ca_file = self.ca.clone().unwrap_or_else(|| default(CA_FILE));
        let key_file = self.key_file.clone().unwrap_or_else(|| default(KEY_FILE));
        let api = api_url(self.api.as_deref().unwrap_or(DEFAULT_API))?;
        let ca_pem = read(&ca_file, "CA certificate", "--ca (or REMUDA_CA)", self.ca.is_some())?;
        let key = read(&key_file, "API key", "--key-file (or REMUDA_KEY_FILE)", self.key_file.is_some())?;
        let key = String::from_utf8(key).ok().map(|key| key.trim().to_owned()).filter(|key| is_key(key));
        let key = key.ok_or_else(|| not_a_key(&key_file))?;
        Ok(Connection { api, ca_pem, ca_file, key, key_file })
    }
}

/// Accepts `host`, `host:port` and `https://host:port/`.
fn api_url(text: &str) -> Result<String, Failure> {
    let refuse = |why: &str| Failure::usage(format!("--api {text:?} {why}")).advice("write it as https://ADDRESS:8443");
    if text.starts_with("http://") {
        return Err(refuse("is plain HTTP; the server speaks TLS only"));
    }
    let url = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let mut url = reqwest::Url::parse(&url).map_err(|cause| refuse(&format!("is no address: {cause}")))?;
    if url.scheme() != "https" || url.host_str().is_none() {
        return Err(refuse("is no https address"));
    }
    let says_port = text.trim_end_matches('/').rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if url.port().is_none() && !says_port {
        let _ = url.set_port(Some(8443));
    }
    Ok(url.origin().ascii_serialization())
}

fn read(file: &Path, what: &str, flag: &str, is_chosen: bool) -> Result<Vec<u8>, Failure> {
    let found = fs::metadata(file).and_then(|meta| {
        if meta.len() > FILE_MAX_BYTES {
            return Err(std::io::Error::other("is too large to be one"));
        }
        fs::read(file)
    });
    found.cannot(format!("read the {what} {}", file.display())).map_err(|failure| match is_chosen {
        true => failure.advice(format!("check {flag}")),
        false => failure.advice(format!(
            "say with {flag} where it is; on the server's own host, run as root, {DEFAULT_DATA_DIR} is used \
             (in a lab: `. target/lab/env`)"
        )),
    })
}

/// A key travels in a header: visible ASCII only.
fn is_key(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic())
}

fn not_a_key(file: &Path) -> Failure {
    Failure::new(format!("{} holds no API key", file.display()))
        .advice("a key is one line of letters and digits; check --key-file (or REMUDA_KEY_FILE)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_becomes_an_https_origin() {
        for (text, url) in [
            ("10.0.0.1", "https://10.0.0.1:8443"),
            ("10.0.0.1:9000", "https://10.0.0.1:9000"),
            ("https://h1.example:8443/", "https://h1.example:8443"),
            ("https://h1.example:443", "https://h1.example"),
            ("[::1]:8443", "https://[::1]:8443"),
        ] {
            assert_eq!(api_url(text).unwrap(), url, "{text}");
        }
    }

    #[test]
    fn what_is_no_https_address_is_refused() {
        for text in ["http://10.0.0.1:8443", "", "ftp://x", "https://"] {
            assert!(api_url(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_key_with_blanks_or_control_characters_is_none() {
        assert!(is_key("rk_abc-123"));
        assert!(!is_key("") && !is_key("a b") && !is_key("a\nb") && !is_key("schlüssel"));
    }
}
