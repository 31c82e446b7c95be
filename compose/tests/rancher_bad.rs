//! A wrong `rancher-compose.yml` and what its author is told: each problem in its own file, at its place.

mod common;

use common::{BALANCED, WEB, both_problems};

#[test]
fn a_wrong_rancher_file_is_told_in_its_own_lines() {
    for (keys, start, part) in [
        ("scal: 2", "5:5: services.web.scal", "did you mean `scale`?"),
        ("imgae: x", "5:5:", "did you mean `image`?"),
        ("interval: 2000", "5:5:", "it belongs under `health_check:`"),
        ("source_port: 80", "5:5:", "it belongs under `lb_config.port_rules:`"),
        ("nonsense_of_mine: 80", "5:5:", "remove it"),
        ("scale: -1", "5:12: services.web.scale", "from 0 to 100000, found `-1`"),
        ("start_on_create: maybe", "5:22:", "`true` or `false`"),
        ("retain_ip: []", "5:16:", "`true` or `false`"),
        ("metadata: text", "5:15:", "expected a map"),
        ("hostname: a..b", "5:15:", "host name `a..b` is empty"),
        ("drain_timeout_ms: 1d", "5:23:", "milliseconds"),
        ("milli_cpu_reservation: 0.5", "5:28:", "thousandths of a core"),
        ("upgrade_strategy: {batch_size: 0}", "5:36: services.web.upgrade_strategy.batch_size", "from 1 to"),
        ("upgrade_strategy: {batchsize: 1}", "5:24:", "did you mean `batch_size`?"),
        ("health_check: {interval: 2000}", "5:5: services.web.health_check", "has no `port:`"),
        ("health_check: {port: 80, request_line: GTE / HTTP/1.0}", "5:44:", "a method of HTTP"),
        ("health_check: {port: 80, strategy: restart}", "5:40:", "`recreateOnQuorum`"),
        ("ports: ['0:80']", "5:13: services.web.ports[0]", "a port that does not exist"),
        ("vcpu: 1", "5:5: services.web.vcpu", "virtual machine"),
        ("memory: 512m", "5:5:", "virtual machine"),
        ("certs: [a]", "5:5:", "ends TLS"),
        ("default_cert: a", "5:5:", "ends TLS"),
        ("load_balancer_config: {name: x}", "5:5:", "write `lb_config:`"),
        ("external_ips: [db.example.com]", "5:20:", "a name goes under `hostname:`"),
        ("hostname: ${OOPS", "5:15: services.web.hostname", "has no closing brace"),
        ("- scale", "5:5:", "expected a map of keys such as `scale:`"),
    ] {
        let rancher = format!("version: '2'\nservices:\n\n  web:\n    {keys}\n");
        let problems = both_problems(WEB, &rancher);
        assert_eq!(problems.len(), 1, "{keys}: {problems:#?}");
        assert!(
            problems[0].starts_with(&format!("rancher:{start}")) && problems[0].contains(part),
            "{keys}: {problems:#?}"
        );
    }
}

#[test]
fn a_rancher_file_that_is_wrong_as_a_whole_says_where() {
    for (rancher, start, part) in [
        ("version: '2'\nservices: {wbe: {scale: 1}}\n", "rancher:2:12: services.wbe", "did you mean `web`?"),
        ("wbe: {scale: 1}\n", "rancher:1:1: wbe", "did you mean `web`?"),
        ("version: '2'\nservces: {}\n", "rancher:2:1: servces", "did you mean `services`?"),
        ("version: '2'\nvolumes: {}\n", "rancher:2:1: volumes", "it belongs into the Compose file"),
        ("version: two\nservices: {}\n", "rancher:1:10: version", "a version such as \"2\""),
        ("version: '2'\nservices: [web]\n", "rancher:2:11: services", "a map from service names"),
        ("version: '2'\n\tservices: {}\n", "rancher:2:1", "a tab indents this line"),
        ("text\n", "rancher:1:1", "expected a map with `services:`"),
        ("web: {scale: 1}\nweb: {scale: 2}\n", "rancher:2:1", "already given at line 1"),
    ] {
        let problems = both_problems(WEB, rancher);
        assert_eq!(problems.len(), 1, "{rancher}: {problems:#?}");
        assert!(problems[0].starts_with(start) && problems[0].contains(part), "{rancher}: {problems:#?}");
    }
    let both = both_problems("services: {web: {imgae: nginx}}\n", "services: {web: {scal: 1}}\n");
    assert_eq!(both.len(), 3, "{both:#?}");
    assert!(both[2].starts_with("rancher:1:18:"), "{both:#?}");
}

#[test]
fn a_rule_that_needs_more_than_tcp_or_udp_is_refused_by_name() {
    const RULE: &str = "source_port: 80, target_port: 80, service: web";
    // `^` stands before what is pointed at, `RULE` for a good rule.
    for (config, part) in [
        (
            "port_rules: [{source_port: 80, target_port: 80, service: ^wbe}]",
            "unknown service `wbe`: did you mean `web`?",
        ),
        ("port_rules: [{source_port: 80, target_port: 80, service: ^'a/b/c'}]", "may hold"),
        ("port_rules: [{source_port: 80, target_port: 80, service: ^lb}]", "is a balancer itself"),
        ("port_rules: [{source_port: 80, target_port: 80, service: ^out}]", "is outside of the fleet"),
        ("port_rules: [{source_port: 80, target_port: 80, service: ^name}]", "is one more name for others"),
        ("port_rules: [{RULE, ^hostname: a.b}]", "http rules with `hostname` need a layer-7 proxy"),
        ("port_rules: [{RULE, ^path: /a}]", "http rules with `path` need a layer-7 proxy"),
        ("port_rules: [{RULE, protocol: ^https}]", "ends TLS in the balancer"),
        ("port_rules: [{RULE, protocol: ^sni}]", "by the name in TLS"),
        ("port_rules: [{RULE, protocol: ^sctp}]", "`http`, `tcp` or `udp`"),
        ("port_rules: [{RULE, priority: ^high}]", "a whole number"),
        ("port_rules: [{RULE, ^prio: 1}]", "unknown key `prio`"),
        ("port_rules: [{RULE}, ^{source_port: 80, target_port: 81, service: web}]", "leads to target port 80 already"),
        ("port_rules: [{source_port: 80, ^selector: a=b}]", "targets chosen by `selector` are not there yet"),
        ("port_rules: [{source_port: ^42, target_port: 80, service: web}]", "port 42 is where"),
        ("port_rules: [{source_port: ^0, target_port: 80, service: web}]", "a port, a whole number from 1"),
        ("port_rules: [^{target_port: 80, service: web}]", "has no `source_port:`"),
        ("port_rules: [^{source_port: 80, service: web}]", "has no `target_port:`"),
        ("port_rules: [^{source_port: 80, target_port: 80}]", "has no `service:`"),
        ("port_rules: [^{source_port: 80, target_port: 80, selector: ''}]", "has no `service:`"),
        ("port_rules: [^{source_port: 80, target_port: 80, container: }]", "has no `service:`"),
        ("port_rules: [{RULE}, ^{source_port: 81, service: web, selector: }]", "has no `target_port:`"),
        ("port_rules: [^80]", "a rule with `source_port:`"),
        ("port_rules: [^~]", "a rule with `source_port:`"),
        ("port_rules: ^{source_port: 80}", "a list of rules"),
        ("^certs: [mine]", "needs a balancer that ends TLS"),
        ("^config: 'maxconn 1'", "is for HAProxy"),
        ("^stickiness_policy: {cookie: x}", "by cookies"),
        ("^port_rule: []", "did you mean `port_rules`?"),
    ] {
        let column = 7 + config.replace("RULE", RULE).find('^').expect("a mark");
        let config = format!("      {}\n", config.replace("RULE", RULE).replace('^', ""));
        let good =
            if config.contains("port_rules") { String::new() } else { format!("      port_rules: [{{{RULE}}}]\n") };
        let more = "  out: {image: rancher/external-service, x-remuda: {hostname: a.b}}
  name: {image: rancher/dns-service, links: [web]}
";
        let rancher = format!("services:\n  lb:\n    lb_config:\n{config}{good}");
        let problems = both_problems(&format!("{BALANCED}{more}"), &rancher);
        assert_eq!(problems.len(), 1, "{config}: {problems:#?}");
        let start = format!("rancher:4:{column}: services.lb.lb_config");
        assert!(problems[0].starts_with(&start) && problems[0].contains(part), "{config}: {start} {problems:#?}");
    }
}

#[test]
fn a_balancer_says_what_it_lacks() {
    for (compose, rancher, start, part) in [
        (BALANCED, "", "docker:5:3: services.lb", "has no rule where its ports lead"),
        (
            BALANCED,
            "services: {lb: {lb_config: {port_rules: [{source_port: 80, target_port: 80, service: web}]}, health_check: {port: 80}}}\n",
            "rancher:1:115: services.lb",
            "only its check on port 42",
        ),
        ("services: {x: {image: rancher/external-service}}\n", "", "docker:1:12: services.x", "does not say where"),
        ("services: {x: {image: rancher/dns-service}}\n", "", "docker:1:12: services.x", "say which under `links:`"),
        ("services: {x: {image: rancher/dns-service, links: [y]}}\n", "", "docker:1:52:", "unknown service `y`"),
    ] {
        let problems = both_problems(compose, rancher);
        assert_eq!(problems.len(), 1, "{compose}{rancher}: {problems:#?}");
        assert!(problems[0].contains(part), "{problems:#?}");
        assert!(problems[0].starts_with(start), "{start} {problems:#?}");
    }
}
