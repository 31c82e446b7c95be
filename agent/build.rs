//! Finds the eBPF object for [`kernel`] to embed, builds the program of holders for runtime `docker`, and generates the
//! client of `remuda.v1.AgentLink`.

use std::path::{Path, PathBuf};

const OBJECT_ENV: &str = "REMUDA_EBPF_OBJECT";
const OBJECT_DEFAULT: &str = "../target/ebpf/bpfel-unknown-none/release/remuda-ebpf";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    embed_object();
    build_hold();
    generate_client();
}

fn embed_object() {
    println!("cargo:rerun-if-env-changed={OBJECT_ENV}");
    let named = std::env::var_os(OBJECT_ENV).map(PathBuf::from);
    let object = named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(OBJECT_DEFAULT));
    println!("cargo:rerun-if-changed={}", object.display());
    let Ok(object) = object.canonicalize() else {
        eprintln!("the eBPF object {} is missing: run `cargo xtask build-ebpf`", object.display());
        std::process::exit(1);
    };
    println!("cargo:rustc-env={OBJECT_ENV}={}", object.display());
}

const HOLD: &str = "hold/hold.rs";

/// The program of holders in containers: static, without libc, for the machine the agent is built for.
fn build_hold() {
    println!("cargo:rerun-if-changed={HOLD}");
    let var = |name: &str| std::env::var(name).unwrap_or_default();
    let arguments =
        ["--edition=2024", "-Cpanic=abort", "-Copt-level=s", "-Cstrip=symbols", "-Crelocation-model=static"];
    let link = ["-nostartfiles", "-nostdlib", "-static", "-Wl,--build-id=none", "-Wl,-n", "-Wl,-z,norelro"];
    let mut rustc = std::process::Command::new(var("RUSTC"));
    rustc.arg(HOLD).args(arguments).args(["--target", &var("TARGET")]);
    rustc.args(link.map(|argument| format!("-Clink-arg={argument}")));
    rustc.arg("-o").arg(Path::new(&var("OUT_DIR")).join("hold"));
    if !rustc.status().is_ok_and(|status| status.success()) {
        eprintln!("{HOLD} could not be built with {rustc:?}");
        std::process::exit(1);
    }
}

fn generate_client() {
    let link = "remuda_api::link";
    let service = tonic_build::manual::Service::builder()
        .package("remuda.v1")
        .name("AgentLink")
        .method(method("join", "Join", &format!("{link}::JoinRequest"), &format!("{link}::Credentials")).build())
        .method(method("renew", "Renew", &format!("{link}::RenewRequest"), &format!("{link}::Credentials")).build())
        .method(method("leave", "Leave", &format!("{link}::LeaveRequest"), &format!("{link}::LeaveReply")).build())
        .method(
            method("assign", "Assign", &format!("{link}::AssignRequest"), &format!("{link}::Update"))
                .server_streaming()
                .build(),
        )
        .method(
            method("report", "Report", &format!("{link}::Report"), &format!("{link}::ReportEnd"))
                .client_streaming()
                .build(),
        )
        .method(
            method("orders", "Orders", &format!("{link}::OrdersRequest"), &format!("{link}::Order"))
                .server_streaming()
                .build(),
        )
        .method(
            method("session", "Session", &format!("{link}::Frame"), &format!("{link}::Frame"))
                .client_streaming()
                .server_streaming()
                .build(),
        )
        .build();
    tonic_build::manual::Builder::new().build_server(false).compile(&[service]);
}

fn method(name: &str, route: &str, input: &str, output: &str) -> tonic_build::manual::MethodBuilder {
    tonic_build::manual::Method::builder()
        .name(name)
        .route_name(route)
        .input_type(input)
        .output_type(output)
        .codec_path("tonic_prost::ProstCodec")
}
