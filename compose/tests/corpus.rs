//! Real files: those beside the checkout at `../shared/corpus`, and the project's own examples.

mod common;

use std::path::PathBuf;

use common::STACK;
use remuda_api::spec::ServiceMode;
use remuda_compose::{Loaded, SourceFile, Sources, load};

/// The file of the corpus, or None (saying so) where the corpus is not beside the checkout.
fn corpus(path: &str) -> Option<Loaded> {
    let full = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus").join(path);
    let Ok(text) = std::fs::read_to_string(&full) else {
        eprintln!("skipped: {} is not here", full.display());
        return None;
    };
    let file = SourceFile { path: path.to_owned(), text };
    Some(
        load(&Sources::new(&[file], &Default::default(), STACK))
            .unwrap_or_else(|problems| panic!("{path}: {problems:#?}")),
    )
}

#[test]
fn the_swarm_app_loads_with_the_socket_it_mounts() {
    let Some(loaded) = corpus("swarm-app/docker-compose.yml") else {
        return;
    };
    let hello = &loaded.spec.services["hello"];
    assert_eq!(hello.mode, ServiceMode::Replicated { replicas: Some(3) });
    assert_eq!(loaded.spec.services["portainer"].ports[0].published, Some(9000));
    assert!(loaded.spec.networks.contains_key("mynet"));
    let mount = &loaded.spec.services["portainer"].engine.mounts[0];
    assert_eq!((mount.kind.as_str(), mount.source.as_str()), ("bind", "/var/run/docker.sock"));
    assert_eq!(loaded.notices, []);
}

#[test]
fn the_global_service_of_the_swarm_app_loads() {
    if let Some(loaded) = corpus("swarm-app/global.yml") {
        assert_eq!(loaded.spec.services["worker"].mode, ServiceMode::Global);
    }
}

#[test]
fn the_rancher_demo_loads() {
    let Some(loaded) = corpus("hms/docker-compose.yml") else {
        return;
    };
    let lb = &loaded.spec.services["lb"];
    assert_eq!((lb.ports[0].published, lb.ports[0].target), (Some(8080), 8080));
    assert_eq!(lb.labels["io.rancher.container.create_agent"], "true");
    let web = &loaded.spec.services["web"].engine;
    assert_eq!((web.stdin_open, web.tty, web.pull.as_str()), (true, true, "always"));
    let said: Vec<_> = loaded.notices.iter().filter(|notice| !notice.field.contains("io.rancher")).collect();
    assert!(said.is_empty(), "{said:#?}");
}

#[test]
fn every_example_of_the_project_loads() {
    let env = [("SHOP".to_owned(), "/checkout".to_owned())].into();
    let mut folders = vec![PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples")];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.file_stem().is_some_and(|stem| stem == "compose" || stem == "docker-compose") {
                let bytes = std::fs::read(&path).expect("a file of the checkout");
                let file = SourceFile::from_bytes(path.display().to_string(), bytes).expect("text");
                load(&Sources::new(&[file], &env, STACK)).unwrap_or_else(|problems| panic!("{problems:#?}"));
            }
        }
    }
}
