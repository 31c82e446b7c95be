//! Server stubs of `remuda.v1.AgentLink`, from the messages in `remuda_api::link`: no .proto file, no protoc.

use tonic_build::manual::{Builder, Method, Service};

fn method(name: &str, route: &str, input: &str, output: &str) -> tonic_build::manual::MethodBuilder {
    Method::builder()
        .name(name)
        .route_name(route)
        .input_type(format!("remuda_api::link::{input}"))
        .output_type(format!("remuda_api::link::{output}"))
        .codec_path("tonic_prost::ProstCodec")
}

fn main() {
    let link = Service::builder()
        .name("AgentLink")
        .package("remuda.v1")
        .method(method("join", "Join", "JoinRequest", "Credentials").build())
        .method(method("renew", "Renew", "RenewRequest", "Credentials").build())
        .method(method("leave", "Leave", "LeaveRequest", "LeaveReply").build())
        .method(method("assign", "Assign", "AssignRequest", "Update").server_streaming().build())
        .method(method("report", "Report", "Report", "ReportEnd").client_streaming().build())
        .method(method("orders", "Orders", "OrdersRequest", "Order").server_streaming().build())
        .method(method("session", "Session", "Frame", "Frame").client_streaming().server_streaming().build())
        .build();
    Builder::new().build_client(std::env::var_os("CARGO_FEATURE_CLIENT").is_some()).compile(&[link]);
    println!("cargo:rerun-if-changed=build.rs");
}
