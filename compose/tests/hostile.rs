//! Input made to hurt: refused in well under a second, in bounded memory, and nothing ever panics.

mod common;

use std::time::Duration;

use common::{STACK, problems, try_load};
use proptest::prelude::*;
use remuda_compose::{FILE_MAX_BYTES, SourceFile, Sources, load};

/// What "well under a second" allows, of a processor's time: a machine may be busy with something else.
const BUDGET: Duration = Duration::from_millis(900);

/// What this thread has had of a processor (first field of schedstat, nanoseconds).
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux says it");
    let first = stat.split(' ').next().and_then(|field| field.parse().ok());
    Duration::from_nanos(first.expect("a number"))
}

fn timed(name: &str, text: &str) -> Vec<String> {
    let start = cpu_time();
    let found = problems(text);
    let took = cpu_time() - start;
    println!("{name}: {} bytes, {} problems, {took:?}", text.len(), found.len());
    assert!(took < BUDGET, "{name} took {took:?}");
    found
}

/// `unit` over and over, up to the size limit.
fn filled(head: &str, unit: impl Fn(usize) -> String) -> String {
    let mut text = head.to_owned();
    for index in 0.. {
        let next = unit(index);
        if text.len() + next.len() > FILE_MAX_BYTES {
            break;
        }
        text += &next;
    }
    text
}

#[test]
fn fifty_megabytes_are_refused_before_parsing() {
    let found = timed("50 MB", &"a: b\n".repeat(10_000_000));
    assert!(found[0].contains("larger than 512 KiB"), "{found:?}");
    assert_eq!(found.len(), 1);
}

#[test]
fn an_alias_bomb_is_refused_where_it_goes_off() {
    let mut text = "x-0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
    for level in 1..20 {
        let aliases = vec![format!("*a{}", level - 1); 9].join(", ");
        text += &format!("x-{level}: &a{level} [{aliases}]\n");
    }
    text += "services: {web: {image: x, labels: *a19}}\n";
    let found = timed("alias bomb", &text);
    assert!(found[0].contains("16 MiB"), "{found:?}");
}

#[test]
fn a_merge_bomb_is_refused_too() {
    let mut text = "x-0: &a0 {k: v}\n".to_owned();
    for level in 1..30 {
        let previous = level - 1;
        text += &format!("x-{level}: &a{level} {{l: *a{previous}, m: *a{previous}, <<: *a{previous}}}\n");
    }
    assert!(timed("merge bomb", &text)[0].contains("16 MiB"));
}

#[test]
fn a_long_chain_of_aliases_is_refused_as_too_deep() {
    let text = filled("x-0: &a0 [x]\n", |n| format!("x-{}: &a{} [*a{n}]\n", n + 1, n + 1));
    assert!(timed("alias chain", &text)[0].contains("nested deeper"));
}

#[test]
fn deep_nesting_is_refused() {
    for (name, text) in [
        ("brackets", "[".repeat(FILE_MAX_BYTES)),
        ("braces", "{a: ".repeat(FILE_MAX_BYTES / 4)),
        ("dashes", "- ".repeat(FILE_MAX_BYTES / 2)),
        ("questions", "? ".repeat(FILE_MAX_BYTES / 2)),
        ("indentation", (0..900).map(|n| format!("{}a:\n", " ".repeat(n))).collect()),
    ] {
        assert!(!timed(name, &text).is_empty());
    }
}

#[test]
fn large_files_of_every_shape_are_answered_in_time() {
    for (name, text) in [
        ("unknown keys", filled("services:\n  web:\n", |n| format!("    k{n}:\n"))),
        ("near misses", filled("services:\n  web:\n", |n| format!("    imag{n}: x\n"))),
        ("services", filled("services:\n", |n| format!("  s{n}: {{image: x, ports: ['{}:80']}}\n", n % 60_000 + 1))),
        ("port ranges", filled("services:\n", |n| format!("  s{n}: {{image: x, ports: ['1-65535']}}\n"))),
        ("same ports", filled("services:\n", |n| format!("  s{n}: {{image: x, ports: ['80:80']}}\n"))),
        ("same key", filled("services:\n", |_| "  a:\n".to_owned())),
        ("flow list", filled("x-a: [", |_| "a,".to_owned())),
        ("flow maps", filled("x-a: [", |_| "{},".to_owned())),
        ("flow keys", filled("x-a: {", |n| format!("k{n}: ,"))),
        ("flow pairs", filled("x-a: [", |_| "a: b,".to_owned())),
        ("quotes", filled("x-a: ", |_| "\"".to_owned())),
        ("anchors", filled("x-a:\n", |n| format!("- &a{n}\n"))),
        ("aliases", filled("x-a: &a a\nx-b:\n", |_| "- *a\n".to_owned())),
        ("variables", filled("x-a: '", |_| "${A:-".to_owned())),
        ("dollars", filled("x-a:\n", |_| "- $\n".to_owned())),
        ("unset", filled("x-a:\n", |n| format!("- $V{n}\n"))),
        ("tabs", filled("x-a:\n", |_| "\tb:\n".to_owned())),
        ("comments", filled("", |_| "#\n".to_owned())),
        ("blank lines", filled("a:\n", |_| "\n".to_owned())),
        ("carriage returns", filled("a:\n", |_| "\r".to_owned())),
        ("documents", filled("", |_| "---\n".to_owned())),
        ("one long scalar", filled("services: {web: {image: ", |_| "é".to_owned())),
        ("long block", filled("services:\n  web:\n    image: |\n", |_| "      \tx\n".to_owned())),
        ("directives", filled("", |n| format!("%TAG !a{n}! tag:x,2000:\n"))),
        ("tags", filled("x-a:\n", |n| format!("- !t{n} x\n"))),
        ("circle", filled("services:\n", |n| format!("  s{n}: {{image: x, depends_on: [s{}, s0]}}\n", n + 1))),
        ("merges", filled("x-a: &a {a: 1, b: 2}\nx-b:\n", |_| "- {<<: [*a, *a]}\n".to_owned())),
        ("mounts", filled("services:\n  web:\n    image: x\n    volumes:\n", |n| format!("    - /s{n}:/t{n}\n"))),
        ("same target", filled("services:\n  web:\n    image: x\n    volumes:\n", |_| "    - /s:/t\n".to_owned())),
        (
            "long mounts",
            filled("services:\n  web:\n    image: x\n    volumes:\n", |n| {
                format!("    - {{type: volume, source: v{n}, target: /t{n}}}\n")
            }),
        ),
        ("dots in paths", web_list("volumes", &format!("/a{}:/b", "/..".repeat(FILE_MAX_BYTES / 4)))),
        ("modes", web_list("volumes", &format!("/a:/b:{}", "z,".repeat(FILE_MAX_BYTES / 3)))),
        ("tmpfs options", web_list("tmpfs", &format!("/a:{}", "sise=1,".repeat(FILE_MAX_BYTES / 8)))),
        ("capabilities", filled("services:\n  web:\n    image: x\n    cap_add:\n", |n| format!("    - NET_ADMI{n}\n"))),
        ("ulimits", filled("services:\n  web:\n    image: x\n    ulimits:\n", |n| format!("      nofil{n}: 1\n"))),
        (
            "extra hosts",
            filled("services:\n  web:\n    image: x\n    extra_hosts:\n", |n| format!("    - h{n}:1.2.3.4\n")),
        ),
        ("links", filled("services:\n  web:\n    image: x\n    links:\n", |n| format!("    - web:a{n}\n"))),
        ("links to nobody", filled("services:\n  web:\n    image: x\n    links:\n", |n| format!("    - wev{n}\n"))),
        ("one alias for many", filled("services:\n", |n| format!("  s{n}: {{image: x, links: ['s{n}:a']}}\n"))),
        (
            "volumes from in a row",
            filled("services:\n", |n| format!("  s{n}: {{image: x, volumes_from: [s{}]}}\n", n + 1)),
        ),
        ("volumes from one, often", volumes_from_one_often()),
        ("env files", filled("services:\n  web:\n    image: x\n    env_file:\n", |n| format!("    - f{n}\n"))),
        ("profiles", filled("services:\n", |n| format!("  s{n}: {{image: x, profiles: [p{n}], depends_on: [s0]}}\n"))),
        ("volumes unknown", filled("services:\n", |n| format!("  s{n}: {{image: x, volumes: ['v{n}:/v']}}\n"))),
        ("volumes of Compose 1", filled("", |n| format!("s{n}: {{image: x, volumes: ['v{n}:/v']}}\n"))),
        (
            "top-level volumes",
            filled("services: {web: {image: x}}\nvolumes:\n", |n| format!("  v{n}: {{external: true}}\n")),
        ),
        ("sysctls", filled("services:\n  web:\n    image: x\n    sysctls:\n", |n| format!("    - vm.a{n}=1\n"))),
        ("cpuset", web_key("cpuset", &"0,".repeat(FILE_MAX_BYTES / 3))),
        ("list labels", filled("services:\n  web:\n    image: x\n    labels:\n", |n| format!("    - l{n}=x\n"))),
    ] {
        timed(name, &text);
    }
}

/// Service `web` with one item under `key`.
fn web_list(key: &str, item: &str) -> String {
    format!("services: {{web: {{image: x, {key}: ['{item}']}}}}\n")
}

fn web_key(key: &str, value: &str) -> String {
    format!("services: {{web: {{image: x, {key}: '{value}'}}}}\n")
}

/// A service with thousands of mounts, which another takes over thousands of times.
fn volumes_from_one_often() -> String {
    let mut text = "services:\n  a:\n    image: x\n    volumes:\n".to_owned();
    text.extend((0..10_000).map(|n| format!("    - /s{n}:/t{n}\n")));
    filled(&(text + "  b:\n    image: x\n    volumes_from:\n"), |_| "    - a\n".to_owned())
}

#[test]
fn files_named_in_files_cannot_grow_the_stack_without_bound() {
    let named = [("/big.env".to_owned(), Ok(filled("", |n| format!("K{n}=${{K{}}}x\n", n.saturating_sub(1)))))].into();
    let text = filled("services:\n", |n| format!("  s{n}: {{image: x, env_file: big.env}}\n"));
    let files = [SourceFile { path: "compose.yml".into(), text }];
    let start = cpu_time();
    let found = load(&Sources { named: &named, ..Sources::new(&files, &Default::default(), STACK) });
    let took = cpu_time() - start;
    assert!(found.is_err());
    assert!(took < BUDGET, "{took:?}");
}

#[test]
fn values_from_outside_cannot_grow_the_stack_without_bound() {
    let env = [("BIG".to_owned(), "x".repeat(100_000))].into();
    for unit in ["  s#: {image: x, environment: [BIG]}\n", "  s#: {image: x, user: $BIG}\n"] {
        let text = filled("services:\n", |n| unit.replace('#', &n.to_string()));
        let start = cpu_time();
        let file = SourceFile { path: "compose.yml".into(), text };
        assert!(load(&Sources::new(&[file], &env, STACK)).is_err());
        let took = cpu_time() - start;
        assert!(took < BUDGET, "{took:?}");
    }
}

#[test]
fn no_more_problems_than_anyone_reads_are_kept_and_the_rest_is_counted() {
    let found = timed("many", &filled("services:\n  web:\n    image: x\n", |n| format!("    k{n}:\n")));
    assert_eq!(found.len(), 1_001);
    assert!(found[1_000].contains("more problems: fix these first"), "{}", found[1_000]);
}

/// Words that files are made of, so that random texts get past the scanner.
const WORDS: &[&str] = &[
    "services",
    "networks",
    "web",
    "db",
    "image",
    "ports",
    "deploy",
    "replicas",
    "environment",
    "depends_on",
    "<<",
    "&a",
    "*a",
    ":",
    ": ",
    "\n",
    "\n  ",
    "\n    ",
    "- ",
    "[",
    "]",
    "{",
    "}",
    ",",
    "'",
    "\"",
    "|",
    ">",
    "#",
    "!",
    "!!str",
    "$",
    "${A:-b}",
    "${",
    "80:80",
    "70000",
    "-1",
    "1e9",
    "~",
    "\t",
    "\r\n",
    "---",
    "...",
    "%",
    "?",
    "é",
    "\u{FEFF}",
    "\0",
    "\u{2028}",
    "x-a",
    "condition",
    "service_healthy",
    "x-remuda",
    "runtime",
    "\\",
    "volumes",
    "data:/data",
    "./a:/b:ro",
    "tmpfs",
    "/run:size=1m",
    "type: bind",
    "source",
    "target",
    "external",
    "cap_add",
    "NET_ADMIN",
    "devices",
    "/dev/a",
    "ulimits",
    "nofile",
    "sysctls",
    "extra_hosts",
    "a:1.2.3.4",
    "env_file",
    "mem_limit",
    "links",
    "volumes_from",
    "profiles",
    "logging",
];

/// A file that uses everything we act on.
const REAL: &str = include_str!("everything.yml");

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_answered_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(file) = SourceFile::from_bytes("any", bytes) {
            let _ = try_load(&file.text);
        }
    }

    #[test]
    fn any_text_is_answered_without_panic(text in "\\PC{0,200}") {
        problems(&text);
    }

    #[test]
    fn any_words_of_the_language_are_answered_without_panic(words in proptest::collection::vec(proptest::sample::select(WORDS), 0..60)) {
        problems(&words.concat());
    }

    #[test]
    fn a_real_file_with_pieces_moved_lost_and_added_is_answered_without_panic(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), 0usize..40, proptest::sample::select(WORDS)), 1..8)
    ) {
        let mut chars: Vec<char> = REAL.chars().collect();
        for (at, lost, word) in edits {
            let at = at.index(chars.len());
            let end = (at + lost).min(chars.len());
            chars.splice(at..end, word.chars());
        }
        problems(&chars.into_iter().collect::<String>());
    }
}

#[test]
fn the_real_file_that_is_mutated_loads() {
    assert_eq!(problems(REAL), Vec::<String>::new());
}
