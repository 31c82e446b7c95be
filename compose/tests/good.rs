//! Good files and what they mean.

mod common;

use std::collections::BTreeMap;

use common::{loaded, notices, spec, web};
use remuda_api::spec::{
    AttachmentSpec, DependsOn, EndpointMode, NetworkMode, NetworkSpec, Protocol, PublishMode, RestartPolicy,
    RuntimeKind, ServiceMode, ServiceSpec,
};

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

#[test]
fn a_service_of_an_image_alone_has_every_default() {
    let spec = spec("services:\n  web:\n    image: nginx\n");
    assert_eq!(spec.name, "shop");
    let expected = ServiceSpec { image: Some("nginx".into()), ..ServiceSpec::default() };
    assert_eq!(spec.services, BTreeMap::from([("web".to_owned(), expected)]));
    assert_eq!(spec.networks, BTreeMap::new());
}

#[test]
fn the_four_formats_say_the_same() {
    let services = "web:\n  image: nginx\n  ports: ['80:80']\n";
    let indented: String = services.lines().map(|line| format!("  {line}\n")).collect();
    let expected = spec(services);
    assert_eq!(expected.services["web"].ports[0].published, Some(80));
    for head in ["", "version: '2'\n", "version: '2.1'\n", "version: 3\n", "version: \"3.8\"\n"] {
        assert_eq!(spec(&format!("{head}services:\n{indented}")), expected, "{head}");
    }
}

#[test]
fn compose_1_has_net_for_network_mode() {
    let spec = spec("version: '1'\nweb:\n  image: nginx\n  net: host\ndb:\n  image: redis\n");
    assert_eq!(spec.services["web"].network_mode, NetworkMode::Host);
    assert_eq!(spec.services.len(), 2);
}

#[test]
fn commands_are_lists_or_lines_as_a_shell_splits_them() {
    let service = web("command: nginx -g 'daemon off;'\nentrypoint: [\"/bin/sh\", -c, 8]");
    assert_eq!(service.command, Some(vec!["nginx".into(), "-g".into(), "daemon off;".into()]));
    assert_eq!(service.entrypoint, Some(vec!["/bin/sh".into(), "-c".into(), "8".into()]));
    assert_eq!(web("command: []").command, Some(vec![]));
    assert_eq!(web("command:").command, None);
}

#[test]
fn environment_is_a_map_or_a_list_and_bare_names_come_from_outside() {
    let expected = map(&[("A", "1"), ("B", "true"), ("C", ""), ("SECRET", "s3cret"), ("D", "x=y")]);
    let as_map = "environment:\n  A: 1\n  B: true\n  C: ''\n  D: x=y\n  SECRET:\n  NOT_SET_ANYWHERE:";
    let as_list = "environment:\n- A=1\n- B=true\n- C=\n- D=x=y\n- SECRET\n- NOT_SET_ANYWHERE";
    assert_eq!(web(as_map).environment, expected);
    assert_eq!(web(as_list).environment, expected);
}

#[test]
fn labels_are_a_map_or_a_list() {
    let expected = map(&[("a.b", "c"), ("on", ""), ("n", "3")]);
    assert_eq!(web("labels:\n  a.b: c\n  on:\n  n: 3").labels, expected);
    assert_eq!(web("labels: [a.b=c, on, n=3]").labels, expected);
}

#[test]
fn ports_short_long_and_ranges() {
    let service = web("ports:
- 80
- '${PORT}:80'
- 53:53/udp
- 9000-9001:90-91
- {target: 443, published: '8443', protocol: tcp, mode: host}");
    use Protocol::{Tcp, Udp};
    use PublishMode::{Host, Ingress};
    let ports: Vec<_> =
        service.ports.iter().map(|port| (port.published, port.target, port.protocol, port.mode)).collect();
    let expected = [
        (None, 80, Tcp, Ingress),
        (Some(8080), 80, Tcp, Ingress),
        (Some(53), 53, Udp, Ingress),
        (Some(9000), 90, Tcp, Ingress),
        (Some(9001), 91, Tcp, Ingress),
        (Some(8443), 443, Tcp, Host),
    ];
    assert_eq!(ports, expected);
}

#[test]
fn a_port_for_one_host_address_stays_inside_and_says_so() {
    let text = common::web_file("ports: ['127.0.0.1:5432:5432', '0.0.0.0:80:80']");
    let loaded = loaded(&text);
    let ports = &loaded.spec.services["web"].ports;
    assert_eq!((ports[0].published, ports[1].published), (None, Some(80)));
    assert!(
        notices(&text)[0].starts_with("4:13: services.web.ports[0]: publishing on 127.0.0.1 alone"),
        "{:?}",
        notices(&text)
    );
}

#[test]
fn one_port_number_may_serve_two_protocols() {
    assert_eq!(web("ports: ['53:53', '53:53/udp']").ports.len(), 2);
}

#[test]
fn networks_have_aliases_and_scope() {
    let spec = spec(
        "services:
  web:
    image: nginx
    networks: [front]
  db:
    image: redis
    networks:
      default:
      back: {aliases: [cache, store]}
networks:
  front:
  back:
    internal: true
  shared:
    external: true
  other:
    external: {name: agreed}
  named:
    name: by-name
",
    );
    let aliases = vec!["cache".to_owned(), "store".to_owned()];
    assert_eq!(spec.services["web"].networks.keys().collect::<Vec<_>>(), ["front"]);
    assert_eq!(spec.services["db"].networks["back"], AttachmentSpec { aliases });
    assert_eq!(spec.networks["back"], NetworkSpec { internal: true, external: None });
    let names: Vec<_> = spec.networks.values().map(|network| network.external.as_deref()).collect();
    assert_eq!(names, [None, None, Some("by-name"), Some("agreed"), Some("shared")]);
}

#[test]
fn dependencies_are_a_list_or_a_map_with_conditions() {
    let file = |depends_on: &str| {
        let text = format!(
            "services:\n  web:\n    image: nginx\n    depends_on: {depends_on}\n  db: {{image: redis}}\n  job: {{image: job}}\n"
        );
        spec(&text).services["web"].depends_on.clone().into_iter().collect::<Vec<_>>()
    };
    let started = |name: &str| (name.to_owned(), DependsOn::ServiceStarted);
    assert_eq!(file("[db, job]"), [started("db"), started("job")]);
    assert_eq!(
        file("{db: {condition: service_healthy}, job: {condition: service_completed_successfully, required: true}}"),
        [("db".to_owned(), DependsOn::ServiceHealthy), ("job".to_owned(), DependsOn::ServiceCompletedSuccessfully)]
    );
    assert_eq!(file("{gone: {condition: service_started, required: false}}"), []);
}

#[test]
fn deploy_says_how_many_where_and_with_what() {
    let service = web("deploy:
  replicas: 6
  endpoint_mode: vip
  resources:
    limits: {cpus: '0.50', memory: 512M, pids: 100}
    reservations: {cpus: 0.25, memory: 20mb}
  placement:
    constraints: ['node.labels.zone==a', node.hostname != h3]
    max_replicas_per_node: 2
  restart_policy: {condition: on-failure}
restart: always");
    assert_eq!(service.mode, ServiceMode::Replicated { replicas: Some(6) });
    assert_eq!(service.endpoint_mode, EndpointMode::Vip);
    let resources = service.resources;
    assert_eq!((resources.limit_cpu_milli, resources.limit_memory_bytes, resources.limit_pids), (500, 512 << 20, 100));
    assert_eq!((resources.reserve_cpu_milli, resources.reserve_memory_bytes), (250, 20 << 20));
    let constraints: Vec<_> = service.constraints.iter().map(|c| (c.key.as_str(), c.equal, c.value.as_str())).collect();
    assert_eq!(constraints, [("node.labels.zone", true, "a"), ("node.hostname", false, "h3")]);
    assert_eq!(service.max_replicas_per_node, 2);
    assert_eq!(service.restart, RestartPolicy::OnFailure);
    assert_eq!(web("deploy: {mode: global, endpoint_mode: dnsrr}").mode, ServiceMode::Global);
    assert_eq!(web("scale: '3'").mode, ServiceMode::Replicated { replicas: Some(3) });
    assert_eq!(web("scale: 0").mode, ServiceMode::Replicated { replicas: Some(0) });
    assert_eq!(web("scale: 2\ndeploy: {replicas: 2}").mode, ServiceMode::Replicated { replicas: Some(2) });
}

#[test]
fn restart_is_one_of_four_words_quoted_or_not() {
    for (word, policy) in [
        ("always", RestartPolicy::Always),
        ("unless-stopped", RestartPolicy::Always),
        ("on-failure", RestartPolicy::OnFailure),
        ("on-failure:5", RestartPolicy::OnFailure),
        ("no", RestartPolicy::Never),
        ("\"no\"", RestartPolicy::Never),
    ] {
        assert_eq!(web(&format!("restart: {word}")).restart, policy, "{word}");
    }
}

#[test]
fn the_rest_of_a_service_is_taken_over() {
    let service = web(
        "user: 1000:1000\nworking_dir: /srv\nhostname: web.example\nstop_signal: quit\nstop_grace_period: 1m30s\nnetwork_mode: none\nx-remuda: {runtime: docker}\nx-note: anything",
    );
    assert_eq!(service.user.as_deref(), Some("1000:1000"));
    assert_eq!(service.working_dir.as_deref(), Some("/srv"));
    assert_eq!(service.hostname.as_deref(), Some("web.example"));
    assert_eq!(service.stop_signal.as_deref(), Some("SIGQUIT"));
    assert_eq!(service.stop_grace_ms, 90_000);
    assert_eq!(service.network_mode, NetworkMode::None);
    assert_eq!(service.runtime, Some(RuntimeKind::Docker));
    for word in ["bridge", "default", "managed"] {
        assert_eq!(web(&format!("network_mode: {word}")).network_mode, NetworkMode::Managed);
    }
}

#[test]
fn a_program_of_the_host_needs_no_image() {
    let spec = spec("services:\n  api:\n    command: /usr/bin/api --port 80\n    x-remuda: {runtime: process}\n");
    assert_eq!(spec.services["api"].runtime, Some(RuntimeKind::Process));
    assert_eq!(spec.services["api"].image, None);
}

#[test]
fn variables_are_replaced_in_values_and_never_in_keys() {
    let service = web("labels:\n  $TAG: ${TAG} $$TAG ${NOPE:-none}\nscale: ${COUNT:-4}");
    assert_eq!(service.labels, map(&[("$TAG", "1.27 $TAG none")]));
    assert_eq!(service.mode, ServiceMode::Replicated { replicas: Some(4) });
}

#[test]
fn a_variable_that_is_not_set_is_said_once() {
    let text = common::web_file("labels: {a: $NOPE, b: $NOPE}");
    let expected = "4:17: services.web.labels.a: variable `NOPE` is not set, empty text stands for it: set it, or write a default with `:-` (2 places)";
    assert_eq!(notices(&text), [expected]);
}

#[test]
fn anchors_and_merge_keys_are_written_out_and_own_keys_win() {
    let spec = spec(
        "x-base: &base
  image: nginx
  labels: &labels {a: base, b: base}
  stop_grace_period: 5s
x-more: &more {user: app, image: other}
services:
  web:
    <<: [*base, *more]
    stop_grace_period: 7s
  api:
    <<: *base
    labels:
      <<: *labels
      a: own
",
    );
    let web = &spec.services["web"];
    assert_eq!((web.image.as_deref(), web.user.as_deref(), web.stop_grace_ms), (Some("nginx"), Some("app"), 7_000));
    assert_eq!(spec.services["api"].labels, map(&[("a", "own"), ("b", "base")]));
}

#[test]
fn keys_for_later_are_said_once_with_the_first_place() {
    let text = "name: other
services:
  web:
    image: nginx
    secrets: [data]
    gpus: all
  db:
    image: redis
    secrets: [data]
    container_name: db
secrets:
  data: {file: data}
";
    assert_eq!(
        notices(text),
        [
            "1:1: name: `name` is understood, not acted on yet: the stack has the name given with `-s`",
            "5:5: services.web.secrets: `secrets` is understood, not acted on yet: nothing is mounted (3 places)",
            "6:5: services.web.gpus: `gpus` is understood, not acted on yet: no such device is given or reserved",
            "10:5: services.db.container_name: `container_name` is understood, not acted on yet: containers are named `<stack>-<service>-<number>`",
        ]
    );
}

#[test]
fn json_with_tabs_is_yaml_too() {
    assert_eq!(spec("{\n\t\"services\": {\n\t\t\"web\": {\"image\": \"nginx\"}\n\t}\n}\n").services.len(), 1);
}

#[test]
fn windows_line_ends_and_a_byte_order_mark_do_no_harm() {
    assert_eq!(
        spec("\u{FEFF}services:\r\n  web:\r\n    image: nginx\r\n").services["web"].image.as_deref(),
        Some("nginx")
    );
}
