//! Bad files and what their author is told: every problem at once, each at its place.

mod common;

use common::{problems, web_file};

/// The one problem of service `web` with these further keys, which begin at line 4.
fn problem(keys: &str) -> String {
    let problems = problems(&web_file(keys));
    assert_eq!(problems.len(), 1, "{keys}: {problems:#?}");
    problems[0].clone()
}

fn assert_says(keys: &str, start: &str, part: &str) {
    let problem = problem(keys);
    assert!(problem.starts_with(start) && problem.contains(part), "{keys}: {problem}");
}

#[test]
fn every_problem_comes_at_once_in_the_order_of_the_file() {
    let text = "services:
  web:
    imgae: nginx
    ports: ['0:80', '70000:80', '8080:80']
    deploy: {replicas: -1}
    depends_on: [bd]
  db:
    image: redis
    ports: ['8080:6379']
    replicas: 2
  a.b: {image: x}
network:
";
    assert_eq!(
        problems(text),
        [
            "2:3: services.web: has no `image:`: add one, or a `command:` to run under the runtime `process`",
            "3:5: services.web.imgae: unknown key `imgae`: did you mean `image`?",
            "4:13: services.web.ports[0]: `0:80` holds a port that does not exist: ports go from 1 to 65535",
            "4:21: services.web.ports[1]: `70000:80` holds a port that does not exist: ports go from 1 to 65535",
            "5:24: services.web.deploy.replicas: expected a whole number from 0 to 100000, found `-1`",
            "6:18: services.web.depends_on[0]: unknown service `bd`: did you mean `db`?",
            "9:13: services.db.ports[0]: port 8080/tcp is already published by service `web` at line 4: publish another port",
            "10:5: services.db.replicas: unknown key `replicas`: it belongs under `deploy:`",
            "11:3: services.a.b: service name `a.b` may hold letters, digits, `-` and `_` and must begin with a letter or digit (found '.')",
            "12:1: network: unknown key `network`: did you mean `networks`?",
        ]
    );
}

#[test]
fn wrong_types_say_what_belongs_there() {
    for (keys, start, part) in [
        ("scale: many", "4:12: services.web.scale", "a whole number from 0 to 100000, found `many`"),
        ("scale: 1.5", "4:12:", "a whole number"),
        ("scale: 1e9", "4:12:", "a whole number"),
        ("scale: 1000000000", "4:12:", "from 0 to 100000"),
        ("scale: [1]", "4:12:", "found a list"),
        ("deploy: 3", "4:13: services.web.deploy", "expected a map with keys such as `replicas:`, found `3`"),
        ("deploy: {replicas: 1000000000}", "4:24:", "from 0 to 100000"),
        ("deploy: {mode: everywhere}", "4:20:", "`replicated` or `global`"),
        ("deploy: {mode: global-job}", "4:20:", "jobs do not run yet"),
        ("deploy: {mode: global, replicas: 2}", "4:28:", "remove `replicas`"),
        ("deploy: {endpoint_mode: dns}", "4:29:", "`vip` or `dnsrr`"),
        ("ports: 80:80", "4:12: services.web.ports", "a list of ports"),
        ("ports: [{published: 80}]", "4:13: services.web.ports[0]", "has no `target:`"),
        ("ports: [{target: 0}]", "4:22: services.web.ports[0].target", "from 1 to 65535, found `0`"),
        ("ports: [{target: 80, publish: 80}]", "4:26:", "did you mean `published`?"),
        ("ports: [{target: 80, protocol: sctp}]", "4:36:", "`tcp` or `udp`"),
        ("ports: [[80]]", "4:13:", "a port such as `8080:80`"),
        ("environment: FOO=bar", "4:18:", "a map, or a list of `NAME=value`"),
        ("environment: {A: [1]}", "4:22: services.web.environment.A", "found a list"),
        ("environment: [A=1, A=2]", "4:24:", "`A` is given twice"),
        ("environment: ['=x']", "4:19:", "is no name"),
        ("labels: {a: {b: c}}", "4:17: services.web.labels.a", "found a map"),
        ("command: {a: b}", "4:14:", "a list of arguments"),
        ("command: \"echo 'a\"", "4:14:", "a quote is not closed"),
        ("labels: {}\nlinks: ['']", "5:13: services.web.links[0]", "a service such as `db`"),
        ("user: []", "4:11:", "found a list"),
        ("working_dir: srv", "4:18:", "an absolute path"),
        ("hostname: a_b..c", "4:15:", "host name `a_b..c` is empty"),
        ("stop_signal: SIGSTOPP", "4:18:", "a signal such as"),
        ("restart: sometimes", "4:14:", "`always` or `unless-stopped` or `on-failure` or `no`"),
        ("networks: [frnot]", "4:16:", "unknown network `frnot`: add it under the top-level `networks:`"),
        ("networks: {default: {aliases: [a.b]}}", "4:36:", "alias `a.b` may hold"),
        ("network_mode: service:db", "4:19:", "shares another container's network"),
        ("network_mode: overlay", "4:19:", "`bridge`"),
        ("x-remuda: {runtime: podman}", "4:25: services.web.x-remuda.runtime", "`process` or `docker`"),
        ("x-remuda: {runtme: docker}", "4:16:", "did you mean `runtime`?"),
        ("healthcheck: {tets: [CMD]}", "4:19: services.web.healthcheck.tets", "did you mean `test`?"),
        ("logging: {driver: x, option: {}}", "4:26:", "did you mean `options`?"),
        ("depends_on: {web2: {condition: service_started}}", "4:18:", "unknown service `web2`: did you mean `web`?"),
        ("depends_on: [web]", "4:18:", "services wait for each other: web -> web"),
    ] {
        assert_says(keys, start, part);
    }
}

#[test]
fn bad_durations_and_sizes_are_refused() {
    for value in ["10", "-1s", "1 day", "25h", "1e9s", "[1s]", ""] {
        assert_says(&format!("stop_grace_period: {value}"), "4:", "a duration with a unit");
    }
    for value in ["0", "-5m", "1e309", "lots", "99999999T"] {
        assert_says(&format!("deploy: {{resources: {{limits: {{memory: {value}}}}}}}"), "4:43:", "a size above 0");
    }
    for value in ["0", "-1", "1e3", ".", "100000"] {
        assert_says(&format!("deploy: {{resources: {{limits: {{cpus: {value}}}}}}}"), "4:41:", "cores above 0");
    }
    assert_says(
        "deploy: {resources: {limits: {memory: 1M}, reservations: {memory: 2M}}}",
        "4:14:",
        "reserves more memory",
    );
}

#[test]
fn constraints_that_no_host_could_meet_are_refused() {
    for constraint in [
        "node.role == leader",
        "node.platform.os == windows",
        "node.labels. == x",
        "zone == a",
        "node.labels.a =",
        "node.id == ",
        "a == b == c",
    ] {
        let keys = format!("deploy: {{placement: {{constraints: [\"{constraint}\"]}}}}");
        assert!(
            problem(&keys).starts_with("4:40: services.web.deploy.placement.constraints[0]: "),
            "{}",
            problem(&keys)
        );
    }
}

#[test]
fn keys_that_contradict_each_other_are_refused() {
    assert_says("scale: 2\ndeploy: {replicas: 3}", "4:12: services.web.scale", "differ: keep one");
    assert_says("scale: 2\ndeploy: {mode: global}", "4:5: services.web.scale", "remove `scale`");
    assert_says("network_mode: host\nnetworks: [default]", "5:5: services.web.networks", "cannot stand beside");
    assert_says("network_mode: none\nports: [80]", "5:5: services.web.ports", "no way to reach a port");
    assert_says("x-remuda: {runtime: process}", "2:3: services.web", "has no `command:`");
}

#[test]
fn names_that_dns_could_not_hold_are_refused() {
    for name in ["vip", "TASKS", "localhost", "42", "_dns", "'*'", "'a b'", "grün", &"x".repeat(64), "''"] {
        let found = problems(&format!("services:\n  {name}: {{image: nginx}}\n"));
        assert_eq!(found.len(), 1, "{name}: {found:?}");
        assert!(found[0].starts_with("2:3: "), "{name}: {found:?}");
    }
    let twins = problems("services:\n  web: {image: a}\n  WEB: {image: b}\n");
    assert!(twins[0].starts_with("3:3: services.WEB: service `WEB` differs only in case"), "{twins:?}");
}

#[test]
fn services_that_wait_for_each_other_are_shown_as_a_circle() {
    let text = "services:
  a: {image: x, depends_on: [b]}
  b: {image: x, depends_on: [c]}
  c: {image: x, depends_on: {a: {condition: service_healthy}}}
";
    assert_eq!(
        problems(text),
        [
            "4:30: services.c.depends_on.a: services wait for each other: a -> b -> c -> a: remove one of these `depends_on`"
        ]
    );
}

#[test]
fn two_services_may_not_publish_one_port_ranges_included() {
    let text =
        "services:\n  a: {image: x, ports: ['8000-8002:80-82']}\n  b: {image: x, ports: ['8001:1', '8002:1/udp']}\n";
    assert_eq!(
        problems(text),
        [
            "3:25: services.b.ports[0]: port 8001/tcp is already published by service `a` at line 2: publish another port"
        ]
    );
}

#[test]
fn duplicate_keys_are_refused_wherever_they_are() {
    let text = "services:\n  web:\n    image: a\n    image: b\n  web: {image: c}\nx-a: {b: 1, b: 2}\n";
    assert_eq!(
        problems(text),
        [
            "4:5: services.web: key `image` is already given at line 3: keep one of them",
            "5:3: services: key `web` is already given at line 2: keep one of them",
            "6:13: x-a: key `b` is already given at line 6: keep one of them",
        ]
    );
}

#[test]
fn tabs_are_named_with_every_line_they_indent() {
    let found = problems("services:\n\tweb:\n\t\timage: nginx\n");
    let starts: Vec<_> = found.iter().map(|problem| problem.split(' ').next().unwrap_or_default()).collect();
    assert_eq!(starts, ["2:1:", "3:1:"], "{found:?}");
    assert!(found[0].contains("a tab indents this line"), "{found:?}");
    let found = problems("services:\n  web:\n  \timage: nginx\n");
    assert!(found[0].starts_with("3:3: a tab"), "{found:?}");
}

#[test]
fn tabs_inside_a_block_of_text_are_text() {
    assert_eq!(problems(&web_file("command:\n- sh\n- -c\n- |\n  \techo\n  \techo")), Vec::<String>::new());
}

#[test]
fn a_key_that_compose_1_lacks_says_how_to_get_it() {
    let found = problems("web:\n  image: nginx\n  deploy: {replicas: 3}\n");
    assert!(found.len() == 1 && found[0].starts_with("3:3: web.deploy: unknown key `deploy`: Compose 1"), "{found:?}");
}

#[test]
fn empty_text_hints_at_a_variable() {
    assert_says("scale: ${EMPTY}", "4:12: services.web.scale", "found empty text (is a variable not set?)");
}

#[test]
fn what_is_no_yaml_says_where_it_breaks() {
    for (text, start) in [
        ("services: {web: {image: nginx}\n", "2:1: not valid YAML"),
        ("services:\n  web:\n    image: a: b\n", "3:13: not valid YAML"),
        ("services:\n  web: *nobody\n", "2:8: not valid YAML"),
        ("a: &a [*a]\n", "1:8: "),
        ("services: {}\n---\nservices: {}\n", "2:1: a second document"),
        ("[1, 2]", "1:1: expected a map with `services:`, found a list"),
        ("just text", "1:1: expected a map with `services:`, found `just text`"),
        ("? [a, b]\n: c\n", "1:3: a key must be text, found a list"),
        ("services:\n  : x\n", "2:3: services: a key is missing"),
        ("<<: 3\n", "1:5: `<<` merges a map"),
        ("services: !reset {}\n", "1:11: services: `!reset` this tag"),
        ("", "1:1: no services"),
        ("services:\n", "1:1: no services"),
        ("version: '9'\nservices: {web: {image: x}}\n", "1:10: version: expected a Compose version"),
        ("services: {web: }\n", "1:12: services.web: expected a map of service keys"),
        ("services: [web]\n", "1:11: services: expected a map from service names to services, found a list"),
    ] {
        let found = problems(text);
        assert!(found.len() == 1 && found[0].starts_with(start), "{text:?}: {found:?}");
    }
}

#[test]
fn a_required_variable_that_is_missing_is_a_problem_where_it_stands() {
    assert_says(
        "labels: {a: '${NOPE:?give one}'}",
        "4:17: services.web.labels.a",
        "variable `NOPE` is required: give one",
    );
    assert_says("user: 'a $ b'", "4:11: services.web.user", "write `$$` for a dollar");
}

#[test]
fn what_the_user_wrote_cannot_forge_the_message() {
    let found = problems("services:\n  web: {image: nginx, \"a\\e[31m\\nb: c\": 1, scale: \"\\u202Eevil\"}\n");
    assert!(
        found.iter().all(|problem| !problem.contains(char::is_control) && !problem.contains('\u{202E}')),
        "{found:?}"
    );
}

#[test]
fn a_bad_stack_name_and_several_files_are_problems_too() {
    use remuda_compose::{SourceFile, Sources, load};
    let file = SourceFile { path: "a.yml".into(), text: "services: {web: {image: x}}".into() };
    let env = Default::default();
    let print = |result: Result<_, Vec<remuda_compose::Problem>>| -> String {
        result.map(|_: remuda_compose::Loaded| ()).expect_err("refused")[0].to_string()
    };
    assert_eq!(print(load(&Sources::new(&[], &env, "shop"))), ":1:1: no file: give one with `-f FILE`");
    assert!(
        print(load(&Sources::new(std::slice::from_ref(&file), &env, "a.b")))
            .starts_with("a.yml:1:1: stack name `a.b` may hold")
    );
    let other = SourceFile { path: "b.yml".into(), ..file.clone() };
    assert_eq!(
        print(load(&Sources::new(&[file, other], &env, "shop"))),
        "b.yml:1:1: several files are not merged yet: give one file"
    );
}

#[test]
fn bytes_that_are_no_text_or_too_many_are_refused_before_parsing() {
    use remuda_compose::{FILE_MAX_BYTES, SourceFile};
    let error = SourceFile::from_bytes("a.yml", b"a: b\nc: \xff".to_vec()).expect_err("no UTF-8");
    assert_eq!(error.to_string(), "a.yml:2:4: the file is not UTF-8 text: save it as UTF-8");
    let error = SourceFile::from_bytes("a.yml", vec![b' '; FILE_MAX_BYTES + 1]).expect_err("too large");
    assert!(error.to_string().starts_with("a.yml:1:1: the file is larger than 512 KiB"));
}
