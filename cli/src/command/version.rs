//! `remuda version`: of this command, and of the server where one is in reach.

use std::process::ExitCode;

use remuda_api::link::PROTOCOL_VERSION;
use remuda_api::resource::Version;
use serde::Serialize;

use crate::client::Client;
use crate::connection::ConnectionArgs;
use crate::failure::{Failure, Outcome};
use crate::listing::{json, out};

#[derive(clap::Args)]
pub struct Args {
    /// How to print it
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    #[default]
    Text,
    Json,
}

#[derive(Serialize)]
struct Versions {
    client: Version,
    /// Null when there is no server in reach.
    server: Option<Version>,
}

pub async fn run(args: Args, connection: &ConnectionArgs) -> Outcome {
    let server = server(connection).await.ok();
    let versions = Versions { client: own(), server };
    match args.output {
        Format::Json => out(&json(&versions)?)?,
        Format::Text => {
            out(&line("remuda", &versions.client))?;
            match &versions.server {
                Some(server) => out(&line("server", server))?,
                None => eprintln!("server: not in reach (`remuda hosts` says why)"),
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn server(connection: &ConnectionArgs) -> Result<Version, Failure> {
    Client::new(connection.connection()?)?.get(&["version"]).await
}

/// What this binary is and speaks.
pub fn own() -> Version {
    Version {
        product: env!("CARGO_PKG_VERSION").to_owned(),
        protocol: PROTOCOL_VERSION,
        wire_format: remuda_abi::tunnel::WIRE_VERSION.into(),
        map_abi: remuda_abi::ABI_VERSION,
    }
}

fn line(who: &str, version: &Version) -> String {
    let Version { product, protocol, wire_format, map_abi } = version;
    format!("{who} {product} (protocol {protocol}, wire format {wire_format}, map ABI {map_abi})\n")
}
