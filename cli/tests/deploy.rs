//! Files below deploy/ and vagrant/, held against strict readings of what they are written for. What is started for
//! real is in deploy/test.sh and vagrant/test.sh.

mod common;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use common::Folder;

fn file(path: &str) -> (PathBuf, String) {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(path);
    let text = std::fs::read_to_string(&path).expect("read");
    (path, text)
}

/// The parts of Kubernetes' API (v1.28, apps/v1 and core/v1) that the manifest uses; a key it has not is refused.
#[expect(dead_code, reason = "most keys are read only to know that they may be there")]
mod kubernetes {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    pub struct DaemonSet {
        pub api_version: String,
        pub kind: String,
        pub metadata: Metadata,
        pub spec: DaemonSetSpec,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    pub struct ConfigMap {
        pub api_version: String,
        pub kind: String,
        pub metadata: Metadata,
        pub data: BTreeMap<String, String>,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    pub struct Metadata {
        pub name: String,
        pub namespace: String,
        pub labels: BTreeMap<String, String>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    pub struct DaemonSetSpec {
        pub selector: Selector,
        pub update_strategy: UpdateStrategy,
        pub template: Template,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    pub struct Selector {
        pub match_labels: BTreeMap<String, String>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    pub struct UpdateStrategy {
        pub r#type: String,
        pub rolling_update: BTreeMap<String, u32>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct Template {
        pub metadata: Metadata,
        pub spec: PodSpec,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    pub struct PodSpec {
        pub host_network: bool,
        #[serde(rename = "hostPID")]
        pub host_pid: bool,
        pub dns_policy: String,
        pub automount_service_account_token: bool,
        pub enable_service_links: bool,
        pub priority_class_name: String,
        pub termination_grace_period_seconds: u64,
        pub node_selector: BTreeMap<String, String>,
        pub tolerations: Vec<BTreeMap<String, String>>,
        pub containers: Vec<Container>,
        pub volumes: Vec<Volume>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    pub struct Container {
        pub name: String,
        pub image: String,
        pub image_pull_policy: String,
        pub args: Vec<String>,
        pub env: Vec<Variable>,
        pub security_context: SecurityContext,
        pub ports: Vec<Port>,
        pub resources: BTreeMap<String, BTreeMap<String, String>>,
        pub volume_mounts: Vec<Mount>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct SecurityContext {
        pub privileged: bool,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    pub struct Variable {
        pub name: String,
        pub value_from: ValueFrom,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    pub enum ValueFrom {
        ConfigMapKeyRef {
            name: String,
            key: String,
        },
        #[serde(rename_all = "camelCase")]
        FieldRef {
            field_path: String,
        },
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    pub struct Port {
        pub name: String,
        pub container_port: u16,
        pub host_port: u16,
        pub protocol: String,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    pub struct Mount {
        pub name: String,
        pub mount_path: String,
        #[serde(default)]
        pub read_only: bool,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    pub struct Volume {
        pub name: String,
        pub host_path: Option<HostPath>,
        pub secret: Option<Secret>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct HostPath {
        pub path: String,
        pub r#type: String,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    pub struct Secret {
        pub secret_name: String,
        pub default_mode: u32,
        pub optional: bool,
    }
}

fn yaml<T: DeserializeOwned>(text: &str) -> T {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

#[test]
fn the_daemon_set_is_what_kubernetes_takes_and_its_parts_fit_each_other() {
    let (_, text) = file("deploy/kubernetes/agent-daemonset.yaml");
    let (settings, set) = text.split_once("\n---\n").expect("two documents");
    let settings: kubernetes::ConfigMap = yaml(settings);
    let set: kubernetes::DaemonSet = yaml(set);
    assert_eq!((settings.api_version.as_str(), settings.kind.as_str()), ("v1", "ConfigMap"));
    assert_eq!((set.api_version.as_str(), set.kind.as_str()), ("apps/v1", "DaemonSet"));
    assert_eq!(set.spec.selector.match_labels, set.spec.template.metadata.labels, "the set would own no pod");
    assert_eq!(
        (settings.metadata.namespace, settings.metadata.name.as_str()),
        (set.metadata.namespace, "remuda-agent")
    );
    let pod = set.spec.template.spec;
    let [agent] = pod.containers.as_slice() else { panic!("one container") };
    assert!(pod.host_network && pod.host_pid && agent.security_context.privileged);
    for mount in &agent.volume_mounts {
        let volume = pod.volumes.iter().find(|volume| volume.name == mount.name).expect(&mount.name);
        assert!(volume.host_path.is_some() != volume.secret.is_some(), "{volume:?}");
        assert!(mount.mount_path.starts_with('/'));
    }
    assert_eq!(agent.volume_mounts.len(), pod.volumes.len());
    assert!(agent.ports.iter().all(|port| port.container_port == port.host_port), "the host's network has no other");
    for variable in &agent.env {
        assert!(agent.args.contains(&format!("$({})", variable.name)), "{} is not used", variable.name);
        if let kubernetes::ValueFrom::ConfigMapKeyRef { key, .. } = &variable.value_from {
            assert!(settings.data.contains_key(key));
        }
    }
    is_taken_by_remuda(
        agent.args.iter().map(|word| word.replace("$(REMUDA_SERVER)", "h1").replace("$(NODE_NAME)", "n1")),
    );
}

/// The command line parses: it ends with the help it asks for.
fn is_taken_by_remuda(words: impl Iterator<Item = String>) {
    let words: Vec<String> = words.chain(["--help".to_owned()]).collect();
    let said = common::remuda(&words.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(said.code, 0, "{words:?}: {}", said.err);
}

#[test]
fn the_swarm_file_runs_one_agent_on_every_node() {
    let (_, text) = file("deploy/agent-global.yml");
    let stack: Value = yaml(&text);
    let agent = &stack["services"]["agent"];
    assert_eq!(agent["deploy"]["mode"], "global");
    let script = agent["command"][0].as_str().expect("a script");
    for needed in
        ["--privileged", "--network host", "--pid host", "/sys/fs/bpf:/sys/fs/bpf", "/sys/fs/cgroup:/sys/fs/cgroup"]
    {
        assert!(script.contains(needed), "{needed} is missing");
    }
    let options =
        script.split("\"$$REMUDA_IMAGE\" ").nth(1).and_then(|rest| rest.split(" $$REMUDA_AGENT_OPTIONS").next());
    let words = options.expect("the agent's words").replace("\"$$REMUDA_SERVER\"", "h1");
    is_taken_by_remuda(words.split_whitespace().map(String::from));
    let secret = agent["secrets"][0].as_str().expect("a secret");
    assert_eq!(stack["secrets"][secret]["external"], true);
    assert!(script.contains(&format!("/run/secrets/{secret}")));
}

#[test]
fn units_keep_containers_alive_and_their_loops_watched() {
    for (name, role) in [("remuda-server.service", "server"), ("remuda-agent.service", "agent")] {
        let (path, text) = file(&format!("deploy/systemd/{name}"));
        for line in ["Type=notify", "KillMode=process", "Restart=always", "LimitMEMLOCK=infinity", "Delegate=yes"] {
            assert!(text.lines().any(|held| held == line), "{name} lacks {line}");
        }
        assert!(text.lines().any(|line| line.starts_with("WatchdogSec=")));
        let start =
            text.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/remuda ")).expect("ExecStart");
        assert!(start.starts_with(role), "{start}");
        verify(&path, &text);
    }
}

/// systemd's own reading, with the program where it is now.
fn verify(path: &std::path::Path, text: &str) {
    let folder = Folder::new();
    let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
    let text = text.replace("/usr/local/bin/remuda", env!("CARGO_BIN_EXE_remuda"));
    let unit = folder.file(name, text);
    match Command::new("systemd-analyze").args(["verify", "--man=no", &unit]).output() {
        // It also reads what the unit wants; only words about ours count.
        Ok(said) => {
            let said = String::from_utf8_lossy(&said.stderr).into_owned();
            assert!(!said.lines().any(|line| line.contains(name)), "{said}");
        }
        Err(error) => println!("skipped the check with systemd-analyze: {error}"),
    }
}

#[test]
fn scripts_are_scripts() {
    for path in ["vagrant/provision.sh", "vagrant/test.sh", "vagrant/test-init.sh", "deploy/test.sh"] {
        let (path, text) = file(path);
        let shell = if text.starts_with("#!/bin/sh\n") { "sh" } else { "bash" };
        let said = Command::new(shell).arg("-n").arg(&path).output().expect("a shell");
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    }
}

#[test]
fn the_vagrantfile_is_taken_by_vagrant() {
    let (path, _) = file("vagrant/Vagrantfile");
    let folder = Folder::new();
    let said = Command::new("vagrant")
        .args(["validate", "--ignore-provider"])
        .current_dir(path.parent().expect("a folder"))
        .env("VAGRANT_HOME", folder.path())
        .output();
    match said {
        Ok(said) => assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr)),
        Err(error) => println!("skipped: vagrant: {error}"),
    }
}
