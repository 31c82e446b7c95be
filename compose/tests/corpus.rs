//! Real files: those beside the checkout at `../shared/corpus`, and samples in the manner of awesome-compose.

mod common;

use std::path::PathBuf;

use common::{STACK, loaded};
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
fn a_web_application_with_cache_and_database_loads() {
    let loaded = loaded(
        r#"
services:
  frontend:
    build:
      context: frontend
      target: development
    image: registry.example.com:5000/team/frontend@sha256:0123456789abcdef
    stdin_open: true
    ports:
      - 3000:3000
    volumes:
      - ./frontend:/code
      - type: bind
        source: ./conf
        target: /conf
        read_only: true
    depends_on:
      - backend
    restart: always
  backend:
    image: backend
    environment:
      - DATABASE_DB=example
      - DATABASE_HOST=db
      - NODE_ENV=development
    env_file: [{path: other.env, required: false}]
    expose: ["80"]
    networks: [public, private]
    secrets: [db-password]
    depends_on:
      db:
        condition: service_healthy
        restart: true
  db:
    image: mariadb:10.6.4-focal
    command: '--default-authentication-plugin=mysql_native_password'
    restart: always
    healthcheck:
      test: ['CMD-SHELL', 'mysqladmin ping -h 127.0.0.1 --password="$$(cat /run/secrets/db-password)" --silent']
      interval: 3s
      retries: 5
      start_period: 30s
    secrets: [db-password]
    volumes:
      - db-data:/var/lib/mysql
    networks: [private]
    ulimits: {nofile: {soft: 1024, hard: 2048}}
    logging: {driver: json-file, options: {max-size: 10m}}
networks:
  public:
  private:
    driver: overlay
    ipam:
      config: [{subnet: 10.1.0.0/16}]
volumes:
  db-data:
secrets:
  db-password:
    file: db/password.txt
"#,
    );
    assert_eq!(loaded.spec.services.len(), 3);
    let db = &loaded.spec.services["db"];
    assert_eq!(db.command.as_deref(), Some(&["--default-authentication-plugin=mysql_native_password".to_owned()][..]));
    assert_eq!(loaded.spec.services["frontend"].ports[0].target, 3000);
}

#[test]
fn a_voting_application_of_compose_3_with_update_rules_loads() {
    let loaded = loaded(
        "version: \"3\"
services:
  redis:
    image: redis:alpine
    networks:
      - frontend
    deploy:
      replicas: 1
      update_config: {parallelism: 2, delay: 10s}
      restart_policy: {condition: on-failure}
  vote:
    image: dockersamples/examplevotingapp_vote:before
    ports:
      - 5000:80
    networks:
      - frontend
    depends_on:
      - redis
    deploy:
      replicas: 2
      update_config: {parallelism: 2}
      labels: [APP=VOTING]
      placement:
        preferences: [{spread: node.labels.zone}]
networks:
  frontend:
",
    );
    let keys: Vec<_> = loaded.notices.iter().filter_map(|notice| notice.message.split('`').nth(1)).collect();
    assert_eq!(keys, ["update_config", "labels", "preferences"]);
}

#[test]
fn a_compose_2_file_with_service_level_resources_loads() {
    let loaded = loaded(
        "version: '2.4'
services:
  web:
    image: nginx
    mem_limit: 64m
    cpus: 0.5
    links: [db:database]
    volumes_from: [db]
    scale: 2
  db:
    image: redis
",
    );
    assert_eq!(loaded.spec.services["web"].mode, ServiceMode::Replicated { replicas: Some(2) });
    let keys: Vec<_> = loaded.notices.iter().filter_map(|notice| notice.message.split('`').nth(1)).collect();
    assert_eq!(keys, ["database", "volumes_from"]);
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
