//! What a user sees with a real server and no hosts: listings, changes, waiting, refusals.

mod common;

use std::net::{Ipv4Addr, SocketAddr};

use common::{Folder, Said, other_ca, remuda};
use remuda_orchestrator::{Server, ServerOptions, start};
use serde_json::Value;
use tokio::runtime::Runtime;

/// An orchestrator in this process, on a port of its own.
struct Fleet {
    server: Option<Server>,
    runtime: Runtime,
    folder: Folder,
}

impl Fleet {
    fn new() -> Self {
        let (runtime, folder) = (Runtime::new().expect("a runtime"), Folder::new());
        let options = ServerOptions {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            ..ServerOptions::new(folder.path().join("server"), Ipv4Addr::LOCALHOST)
        };
        let server = runtime.block_on(start(options)).expect("a server");
        Self { server: Some(server), runtime, folder }
    }

    /// `remuda WORDS` with this fleet's API, CA and key, unless the words say otherwise.
    fn remuda(&self, words: &[&str]) -> Said {
        self.told(words, "")
    }

    /// The same with this text on standard input.
    fn told(&self, words: &[&str], text: &str) -> Said {
        let ready = &self.server.as_ref().expect("it runs").ready;
        let api = format!("https://{}", ready.listen);
        let (ca, key) = (ready.ca_path.display().to_string(), ready.key_path.display().to_string());
        let variables = [("REMUDA_API", api.as_str()), ("REMUDA_CA", ca.as_str()), ("REMUDA_KEY_FILE", key.as_str())];
        common::remuda_told(words, &variables, text)
    }

    fn done(&self, words: &[&str]) -> Said {
        let said = self.remuda(words);
        assert_eq!(said.code, 0, "{words:?}: {}", said.err);
        said
    }

    fn list(&self, words: &[&str]) -> Vec<Value> {
        serde_json::from_str(&self.done(&[words, &["-o", "json"]].concat()).out).expect("a JSON array")
    }

    fn shop(&self, replicas: u32) -> String {
        let text = format!("services:\n  web:\n    command: [sleep, '1']\n    deploy: {{replicas: {replicas}}}\n");
        self.folder.file("shop.yaml", text)
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            self.runtime.block_on(server.stop());
        }
    }
}

fn fields(value: &Value) -> String {
    value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>().join(" ")
}

#[test]
fn an_empty_fleet_has_empty_listings() {
    let fleet = Fleet::new();
    for listing in ["ps", "services", "stacks", "hosts"] {
        assert_eq!(fleet.list(&[listing]), Vec::<Value>::new(), "{listing}");
        assert_eq!(fleet.done(&[listing]).out.lines().count(), 1, "{listing}: a header only");
    }
    assert!(fleet.done(&["version"]).out.contains("server 0."));
}

#[test]
fn a_stack_that_nobody_can_run_is_explained_and_listed_with_the_contracts_fields() {
    let fleet = Fleet::new();
    let said = fleet.remuda(&["up", "-f", &fleet.shop(2), "-s", "shop", "--timeout", "300ms"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("shop/web: 0 of 2 (2 pending)"), "{}", said.err);
    assert!(said.err.contains("error: not done after 0.3 s") && said.err.contains("2 x "), "{}", said.err);
    let containers = fleet.list(&["ps", "shop"]);
    assert_eq!(fields(&containers[0]), "name stack service host ip state health reason pid restarts created");
    assert_eq!(containers[0]["state"], "pending");
    assert!(containers[0]["reason"].is_string() && containers[0]["host"].is_null());
    let services = fleet.list(&["services"]);
    assert_eq!(fields(&services[0]), "name stack kind vip ports desired running healthy state image generation");
    assert_eq!(fleet.list(&["ps", "shop/web"]).len(), 2);
    assert!(fleet.done(&["ps", "-o", "wide"]).out.contains("RESTARTS"));
}

#[test]
fn a_plan_says_what_would_change_and_changes_nothing() {
    let fleet = Fleet::new();
    let file = fleet.shop(2);
    let plan = fleet.remuda(&["up", "-f", &file, "-s", "shop", "--plan"]);
    assert_eq!(plan.code, 2, "{}", plan.err);
    assert_eq!(plan.out, "web: created\n");
    assert_eq!(fleet.remuda(&["up", "-f", &file, "-s", "shop", "--plan"]).out, plan.out);
    assert_eq!(fleet.list(&["stacks"]).len(), 0);
    fleet.done(&["up", "-f", &file, "-s", "shop", "-d"]);
    let plan = fleet.remuda(&["up", "-f", &file, "-s", "shop", "--plan"]);
    assert_eq!((plan.code, plan.out.as_str()), (0, "no changes\n"), "{}", plan.err);
}

#[test]
fn a_plan_names_the_fields_that_differ_with_both_values_and_is_the_same_twice() {
    let fleet = Fleet::new();
    let shop = |web: &str| {
        let text = format!("services:\n  api: {{command: [api]}}\n  web: {web}\n");
        fleet.folder.file("shop.yaml", text)
    };
    fleet.done(&["up", "-f", &shop("{command: [web], environment: {TAG: a}}"), "-s", "shop", "-d"]);
    let events = fleet.list(&["events"]);
    let file = shop("{command: [web, -v], deploy: {replicas: 3}, user: app}");
    let plan = fleet.remuda(&["up", "-f", &file, "-s", "shop", "--plan"]);
    let expected = r#"web: changed, containers replaced
  scale: 1 -> 3
  command: ["web"] -> ["web","-v"]
  environment.TAG: changed
  user: none -> "app"
1 unchanged
"#;
    assert_eq!((plan.code, plan.out.as_str()), (2, expected), "{}", plan.err);
    let words = ["up", "-f", &file, "-s", "shop", "--plan", "-o", "json"];
    let (once, twice) = (fleet.remuda(&words), fleet.remuda(&words));
    assert_eq!((once.code, &once.out), (2, &twice.out));
    let changes: Vec<Value> = serde_json::from_str(&once.out).expect("a JSON array");
    assert_eq!((&changes[0]["service"], &changes[0]["action"]), (&"api".into(), &"unchanged".into()));
    assert_eq!((&changes[1]["action"], &changes[1]["replaces_containers"]), (&"changed".into(), &true.into()));
    assert_eq!(changes[1]["fields"][0]["new"], 3);
    assert_eq!(fleet.list(&["events"]), events, "nothing was changed");
    assert_eq!(fleet.list(&["ps"]).len(), 2);
    let bad = fleet.folder.file("bad.yaml", "services:\n  web: {command: [a], ports: ['8443:80']}\n");
    assert_eq!(fleet.remuda(&["up", "-f", &bad, "-s", "shop", "--plan"]).code, 1, "it would be refused");
}

#[test]
fn a_plan_says_what_pruning_would_remove_and_what_is_left_as_it_is() {
    let fleet = Fleet::new();
    let both = fleet.folder.file("both.yaml", "services:\n  api: {command: [api]}\n  web: {command: [web]}\n");
    let one = fleet.folder.file("one.yaml", "services:\n  web: {command: [web]}\n");
    fleet.done(&["up", "-f", &both, "-s", "shop", "-d"]);
    let plan = fleet.remuda(&["up", "-f", &one, "-s", "shop", "--plan"]);
    assert_eq!((plan.code, plan.out.as_str()), (0, "no changes\n"));
    assert!(plan.err.contains("left as they are: api (--prune removes them)"), "{}", plan.err);
    let plan = fleet.remuda(&["up", "-f", &one, "-s", "shop", "--plan", "--prune"]);
    assert_eq!((plan.code, plan.out.as_str()), (2, "api: removed\n1 unchanged\n"));
    assert_eq!(fleet.list(&["services"]).len(), 2);
}

#[test]
fn a_swarm_users_words_do_what_ours_do() {
    let fleet = Fleet::new();
    let text = "services:\n  api: {command: [api]}\n  web: {command: [web], deploy: {replicas: 0}}\n";
    let file = fleet.folder.file("docker-compose.yml", text);
    fleet.done(&["stack", "deploy", "-c", &file, "--detach=true", "--with-registry-auth", "shop"]);
    assert_eq!(fleet.list(&["stack", "ls"]), fleet.list(&["stacks"]));
    assert_eq!(fleet.list(&["stack", "services", "shop"]), fleet.list(&["services", "shop"]));
    assert_eq!(fleet.list(&["service", "ls"]), fleet.list(&["services"]));
    assert_eq!(fleet.list(&["stack", "ps", "shop"]), fleet.list(&["ps", "shop"]));
    fleet.done(&["service", "scale", "shop_web=2", "-d"]);
    assert_eq!(fleet.list(&["service", "ps", "shop_web"]), fleet.list(&["ps", "shop/web"]));
    assert_eq!(fleet.list(&["ps", "shop_web"]).len(), 2);
    assert_eq!(fleet.list(&["service", "ps", "shop_web", "shop/api"]).len(), 3);
    let web: Value = serde_json::from_str(&fleet.done(&["service", "inspect", "shop_web"]).out).expect("an object");
    assert_eq!(web["desired"], 2);
    assert_eq!(fleet.done(&["service", "rm", "shop_web"]).out, "shop_web\n");
    fleet.done(&["wait", "shop_web", "--for", "gone"]);
    assert_eq!(fleet.list(&["services"]).len(), 1);
    fleet.done(&["stack", "rm", "shop"]);
    assert_eq!(fleet.list(&["stacks"]).len(), 0);
    let line = fleet.done(&["swarm", "join-token", "worker"]).out;
    assert!(line.starts_with("echo ") && line.lines().count() == 1, "{line}");
    assert_eq!(fleet.done(&["swarm", "join-token", "-q"]).out.split_whitespace().count(), 1);
}

#[test]
fn a_scale_is_all_or_nothing_and_a_stack_goes_when_told() {
    let fleet = Fleet::new();
    fleet.done(&["up", "-f", &fleet.shop(1), "-s", "shop", "-d"]);
    let said = fleet.remuda(&["scale", "shop/web=3", "shop/wbe=1"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("wbe"), "{}", said.err);
    assert_eq!(fleet.list(&["ps"]).len(), 1);
    fleet.done(&["scale", "shop/web=3", "-d"]);
    assert_eq!(fleet.list(&["ps"]).len(), 3);
    fleet.done(&["scale", "shop/web=0"]);
    let down = fleet.done(&["down", "shop"]);
    assert!(down.err.contains("shop is gone"), "{}", down.err);
    assert_eq!(fleet.list(&["stacks"]).len(), 0);
    fleet.done(&["wait", "shop", "--for", "gone"]);
}

#[test]
fn an_unknown_name_is_answered_with_what_exists() {
    let fleet = Fleet::new();
    fleet.done(&["up", "-f", &fleet.shop(1), "-s", "shop", "-d"]);
    for (words, hint) in [
        (&["down", "shopp"][..], "`shop`"),
        (&["ps", "shpo"], "`shop`"),
        (&["wait", "nothing"], "`shop`"),
        (&["wait", "shop/wab"], "`web`"),
        (&["logs", "shop-web-2"], "`shop-web-1`"),
        (&["exec", "web", "--", "ls"], "`shop/web`"),
        (&["inspect", "h9"], "`shop/web`"),
        (&["host", "inspect", "h9"], "none at all yet"),
        (&["host", "drain", "h9"], "there is no host `h9`"),
        (&["host", "pause", "h9"], "none at all yet"),
        (&["host", "rm", "h9"], "there is no host `h9`"),
        (&["host", "rm", "h9", "--dead"], "there is no host `h9`"),
        (&["node", "update", "--availability", "drain", "h9"], "there is no host `h9`"),
        (&["node", "rm", "h9"], "none at all yet"),
        (&["scale", "shop/wep=2"], "`shop/web`"),
        (&["scale", "shop_wep=2"], "`shop_web`"),
        (&["service", "rm", "shop_wep"], "`shop_web`"),
        (&["service", "rm", "shop/wep"], "`shop/web`"),
        (&["service", "ps", "shop_wep"], "there is no"),
        (&["service", "inspect", "nothing"], "`shop/web`"),
        (&["service", "logs", "shop_wep"], "there is no"),
        (&["stack", "ps", "shpo"], "`shop`"),
        (&["stack", "rm", "shpo"], "`shop`"),
        (&["wait", "shop_wep"], "there is no stack"),
    ] {
        let said = fleet.remuda(words);
        assert_eq!(said.code, 1, "{words:?}");
        assert!(said.err.contains(hint), "{words:?}: {}", said.err);
    }
}

#[test]
fn one_thing_is_inspected_by_name_or_beginning() {
    let fleet = Fleet::new();
    fleet.done(&["up", "-f", &fleet.shop(1), "-s", "shop", "-d"]);
    for (name, found) in [("shop-web-1", "shop-web-1"), ("shop-w", "shop-web-1"), ("shop/web", "web"), ("shop", "shop")]
    {
        let thing: Value = serde_json::from_str(&fleet.done(&["inspect", name]).out).expect("an object");
        assert_eq!(thing["name"], found, "{name}");
    }
}

#[test]
fn a_wrong_key_and_a_wrong_ca_are_told_apart() {
    let fleet = Fleet::new();
    let key = fleet.folder.file("wrong.key", "not-this-one\n");
    let said = fleet.remuda(&["hosts", "--key-file", &key]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("does not know this API key") && said.err.contains(&key), "{}", said.err);
    let ca = fleet.folder.file("other.pem", other_ca());
    let said = fleet.remuda(&["hosts", "--ca", &ca]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("not the server of this fleet") && said.err.contains(&ca), "{}", said.err);
}

#[test]
fn a_token_is_printed_as_the_line_to_paste() {
    let fleet = Fleet::new();
    let line = fleet.done(&["token", "create", "--uses", "3", "--ttl", "1h"]).out;
    assert!(line.starts_with("echo ") && line.trim_end().ends_with("--token-file -"), "{line}");
    assert_eq!(line.lines().count(), 1);
    let token: Value = serde_json::from_str(&fleet.done(&["token", "create", "-o", "json"]).out).expect("an object");
    assert_eq!(token["uses"], 1);
}

#[test]
fn what_happened_is_listed_oldest_first() {
    let fleet = Fleet::new();
    fleet.done(&["up", "-f", &fleet.shop(1), "-s", "shop", "-d"]);
    let events = fleet.list(&["events"]);
    let ids: Vec<u64> = events.iter().filter_map(|event| event["id"].as_u64()).collect();
    assert!(ids.len() >= 2 && ids.is_sorted(), "{events:?}");
    let later = fleet.list(&["events", "--since", &ids[0].to_string()]);
    assert_eq!(later.len(), ids.len() - 1);
}

#[test]
fn what_the_server_refuses_is_listed_completely() {
    let fleet = Fleet::new();
    let text = "services:\n  web: {command: [a], ports: ['8080:80']}\n";
    let file = fleet.folder.file("a.yaml", text);
    fleet.done(&["up", "-f", &file, "-s", "one", "-d"]);
    let said = fleet.remuda(&["up", "-f", &file, "-s", "two", "-d"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("8080") && said.err.contains("one"), "{}", said.err);
    assert_eq!(fleet.list(&["stacks"]).len(), 1);
}

#[test]
fn a_health_check_is_changed_in_place_and_a_bad_one_is_refused_with_its_field() {
    let fleet = Fleet::new();
    let shop = |check: &str| {
        let text = format!("services:\n  web:\n    command: [sleep, '1']\n    x-remuda: {check}\n");
        fleet.folder.file("shop.yaml", text)
    };
    fleet.done(&["up", "-f", &shop("{}"), "-s", "shop", "-d"]);
    let said = fleet.done(&["up", "-f", &shop("{health_check: {port: 80}}"), "-s", "shop", "-d"]);
    assert!((said.out + &said.err).contains("web: changed in place"));
    const IN_PLACE: &str = "web: changed in place\n  drain_timeout_ms: 10000 -> 1\n  health_check: ";
    let plan = fleet.remuda(&["up", "-f", &shop("{drain_timeout_ms: 1}"), "-s", "shop", "--plan"]);
    assert!(plan.code == 2 && plan.out.starts_with(IN_PLACE), "{}{}", plan.out, plan.err);
    let said = fleet.remuda(&["up", "-f", &shop("{health_check: {port: 80, interval: 0}}"), "-s", "shop", "-d"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("services.web.x-remuda.health_check.interval: expected milliseconds"), "{}", said.err);
}

#[test]
fn the_example_of_health_checks_is_accepted() {
    let fleet = Fleet::new();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/health.yaml");
    fleet.done(&["up", "-f", file, "-s", "health", "-d"]);
    let containers = fleet.list(&["ps", "health/web"]);
    assert_eq!(containers.len(), 3);
    assert!(containers[0]["reason"].as_str().is_some_and(|why| why.contains("cache to be healthy")), "{containers:?}");
}

#[test]
fn help_needs_no_server() {
    assert_eq!(remuda(&["hosts", "--help"]).code, 0);
}

#[test]
fn a_key_without_host_access_is_made_used_refused_and_revoked() {
    let fleet = Fleet::new();
    let made = fleet.done(&["key", "create", "ci", "--no-host-access"]);
    assert!(
        made.out.starts_with("remuda_key_") && made.out.lines().count() == 1 && made.err.contains("not shown again")
    );
    let file = fleet.folder.file("ci.key", &made.out);
    let keys = fleet.list(&["key", "ls", "--key-file", &file]);
    let shown: Vec<_> = keys.iter().map(|key| (key["name"].as_str(), key["host_access"].as_bool())).collect();
    assert_eq!(shown, [(Some("admin"), Some(true)), (Some("ci"), Some(false))]);
    let refused = fleet.remuda(&["key", "create", "more", "--key-file", &file]);
    assert!(refused.code == 1 && refused.err.contains("no host access"), "{}", refused.err);
    let compose = fleet.shop(1);
    let refused = fleet.remuda(&["up", "-d", "-f", &compose, "-s", "shop", "--key-file", &file]);
    assert!(refused.code == 1 && refused.err.contains("services.web.runtime"), "{}", refused.err);
    assert_eq!(fleet.done(&["key", "rm", "ci"]).out, "ci: revoked\n");
    assert_eq!(fleet.remuda(&["ps", "--key-file", &file]).code, 1);
    let last = fleet.remuda(&["key", "rm", "admin"]);
    assert!(last.code == 1 && last.err.contains("last key with host access"), "{}", last.err);
}

#[test]
fn a_registrys_password_is_read_from_standard_input_and_never_shown() {
    let fleet = Fleet::new();
    let login = ["registry", "login", "https://Registry.Example:5000/v2/", "-u", "ann", "--password-stdin"];
    let said = fleet.told(&login, "s3cret-word\n");
    assert_eq!((said.code, said.out.as_str()), (0, "registry.example:5000: logged in as ann\n"), "{}", said.err);
    let shown = fleet.done(&["registry", "ls"]).out + &fleet.done(&["events", "-o", "json"]).out;
    assert!(shown.contains("registry.example:5000") && !shown.contains("s3cret-word"), "{shown}");
    assert_eq!(fleet.told(&login, "").code, 2, "no password");
    fleet.done(&["registry", "logout", "registry.example:5000"]);
    assert_eq!(fleet.remuda(&["registry", "logout", "registry.example:5000"]).code, 1);
}

#[test]
fn what_is_stopped_stays_so_and_what_does_not_exist_has_a_likeness() {
    let fleet = Fleet::new();
    let compose = fleet.shop(2);
    fleet.done(&["up", "-d", "-f", &compose, "-s", "shop"]);
    assert_eq!(fleet.done(&["stop", "shop"]).out, "shop/web: stopped\n");
    assert_eq!(fleet.list(&["services"])[0]["state"], "inactive");
    let again = fleet.done(&["up", "-f", &compose, "-s", "shop"]);
    assert!(again.err.contains("stopped by hand: `remuda start shop/web`"), "{}", again.err);
    assert_eq!(fleet.done(&["start", "-d", "shop/web"]).out, "shop/web: started\n");
    let unknown = fleet.remuda(&["stop", "shop/wed"]);
    assert!(unknown.code == 1 && unknown.err.contains("did you mean"), "{}", unknown.err);
    assert!(fleet.list(&["volume", "ls"]).is_empty());
    assert_eq!(fleet.remuda(&["volume", "rm", "none"]).code, 1);
}
