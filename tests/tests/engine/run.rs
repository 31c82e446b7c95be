//! What a container is given, and how it ends.

use anyhow::{Context, Result};
use remuda_agent::action::UnitSpec;
use remuda_agent::observed::UnitState;
use remuda_agent::runtime::Stream;
use remuda_api::engine::{EngineSpec, Mount, Ulimit};
use remuda_lab::process;

use crate::host::{
    Host, create, exit_of, failure_of, lines, pid_of, remove, run, said, script, shared, spec, start, stop,
};

fn with(engine: EngineSpec, spec: UnitSpec) -> UnitSpec {
    UnitSpec { engine, ..spec }
}

fn mount(kind: &str, source: &str, target: &str) -> Mount {
    Mount { kind: kind.into(), source: source.into(), target: target.into(), ..Mount::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_sees_its_own_name_resolver_hosts_user_and_environment() -> Result<()> {
    let engine = shared().await?;
    let host = Host::of(&engine)?;
    let runtimes = host.runtimes().await?;
    let look = "hostname; grep nameserver /etc/resolv.conf; grep search /etc/resolv.conf; grep db /etc/hosts; \
                echo $GREETING; id -un; id -Gn; pwd; ulimit -n; echo oops >&2";
    let options = EngineSpec {
        extra_hosts: vec!["db:10.1.2.3".into()],
        ulimits: vec![Ulimit { name: "nofile".into(), soft: 1000, hard: 2000 }],
        group_add: vec!["audio".into()],
        ..EngineSpec::default()
    };
    let spec = UnitSpec { user: "app".into(), working_dir: "/data".into(), ..with(options, script("own-1", look)) };
    let out = said(&runtimes, spec).await?;
    let wanted = [
        "own-1",
        "nameserver 169.254.169.250",
        "search shop.default.remuda.internal",
        "10.1.2.3\tdb",
        "hello there",
        "app",
        "app audio",
        "/data",
        "1000",
    ];
    assert_eq!(out, wanted);
    assert!(lines(&runtimes, "own-1", 0).await?.contains(&(Stream::Stderr, "oops".into())));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entrypoint_and_command_are_the_images_unless_they_are_given() -> Result<()> {
    let engine = shared().await?;
    engine.import("speaker:test", &["ENTRYPOINT [\"echo\",\"image\"]", "CMD [\"says\"]", "ENV WHO=image"])?;
    let host = Host::of(&engine)?;
    let runtimes = host.runtimes().await?;
    let of = |name: &str, entrypoint: &[&str], command: &[&str]| UnitSpec {
        image: "speaker:test".into(),
        entrypoint: crate::host::words(entrypoint),
        ..spec(name, command)
    };
    assert_eq!(said(&runtimes, of("e-1", &[], &[])).await?, ["image says"]);
    assert_eq!(said(&runtimes, of("e-2", &[], &["shouts"])).await?, ["image shouts"]);
    assert_eq!(said(&runtimes, of("e-3", &["echo", "own"], &["word"])).await?, ["own word"]);
    let bare = EngineSpec { clear_command: true, ..EngineSpec::default() };
    assert_eq!(said(&runtimes, with(bare, of("e-4", &[], &[]))).await?, ["image"]);
    assert_eq!(said(&runtimes, of("e-5", &["sh", "-c"], &["echo $WHO"])).await?, ["image"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_and_powers_are_those_that_were_asked_for() -> Result<()> {
    let engine = shared().await?;
    let host = Host::of(&engine)?;
    let runtimes = host.runtimes().await?;
    let bound = tempdir("bound")?;
    std::fs::write(bound.join("word"), "from the host\n")?;
    let options = EngineSpec {
        read_only: true,
        cap_drop: vec!["ALL".into()],
        cap_add: vec!["CHOWN".into()],
        security_opt: vec!["no-new-privileges:true".into()],
        mounts: vec![
            Mount { read_only: true, ..mount("bind", &bound.display().to_string(), "/bound") },
            Mount { tmpfs_bytes: 1 << 20, tmpfs_mode: 0o700, ..mount("tmpfs", "", "/scratch") },
        ],
        ..EngineSpec::default()
    };
    let look = "touch /etc/x 2>/dev/null || echo read-only; cat /bound/word; touch /bound/x 2>/dev/null || echo bound; \
                dd if=/dev/zero of=/scratch/x bs=1M count=2 2>/dev/null || echo full; stat -c %a /scratch; \
                grep CapEff /proc/self/status; grep NoNewPrivs /proc/self/status";
    let out = said(&runtimes, with(options, script("files-1", look))).await?;
    let wanted = ["read-only", "from the host", "bound", "full", "700", "CapEff:\t0000000000000001", "NoNewPrivs:\t1"];
    assert_eq!(out, wanted);
    std::fs::remove_dir_all(bound)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_named_volume_is_kept_when_its_container_is_replaced_and_goes_only_when_it_is_removed() -> Result<()> {
    let engine = shared().await?;
    let host = Host::of(&engine)?;
    let runtimes = host.runtimes().await?;
    let options = || EngineSpec { mounts: vec![mount("volume", "shop_data", "/data")], ..EngineSpec::default() };
    let first = script("keep-1", "cat /data/from-the-image; echo kept >/data/word; exec sleep 1000");
    pid_of(&run(&runtimes, with(options(), first)).await?)?;
    crate::host::line(&runtimes, "keep-1", "yes").await?;
    let refused = runtimes.remove_volume("shop_data").await.map_err(|error| error.to_string());
    let refused = refused.expect_err("it is in use");
    assert!(refused.contains("in use"), "{refused}");
    stop(&runtimes, "keep-1", "KILL", 0).await?;
    exit_of(&runtimes, "keep-1").await?;
    remove(&runtimes, "keep-1").await?;
    let second = UnitSpec { spec_revision: 2, ..script("keep-1", "cat /data/word") };
    assert_eq!(said(&runtimes, with(options(), second)).await?, ["kept"]);
    remove(&runtimes, "keep-1").await?;
    runtimes.remove_volume("shop_data").await?;
    runtimes.remove_volume("shop_data").await.context("what is gone is removed already")?;
    assert_eq!(engine.docker(&["volume", "ls", "--quiet", "--filter", "name=shop_data"])?, "");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_words_the_signal_and_the_memory_are_in_the_reason() -> Result<()> {
    let engine = shared().await?;
    let host = Host::of(&engine)?;
    let runtimes = host.runtimes().await?;
    let words = "i=1; while [ $i -le 12 ]; do echo line $i; i=$((i+1)); done; sleep 0.2; echo cannot reach the database >&2; exit 3";
    run(&runtimes, script("a-1", words)).await?;
    let (code, reason, last) = exit_of(&runtimes, "a-1").await?;
    assert_eq!((code, reason.as_str()), (3, "exited with code 3: cannot reach the database"));
    assert_eq!(last.len(), 10, "{last:?}");
    assert!(last.contains(&"line 12".to_owned()) && !last.contains(&"line 1".to_owned()), "{last:?}");
    run(&runtimes, script("b-1", "kill -SEGV $$; sleep 9")).await?;
    // Process 1 of a container heeds only what it handles.
    run(&runtimes, script("c-1", "sh -c 'kill -SEGV $$'; exit $?")).await?;
    assert_eq!(exit_of(&runtimes, "c-1").await?.0, 139);
    let memory = UnitSpec { limit_memory_bytes: 32 << 20, ..spec("d-1", &["tail", "/dev/zero"]) };
    run(&runtimes, memory).await?;
    let (code, reason, _) = exit_of(&runtimes, "d-1").await?;
    assert_eq!((code, reason.as_str()), (137, "killed by the kernel: out of memory"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_is_not_there_is_said_so_and_nothing_is_left_running() -> Result<()> {
    let engine = shared().await?;
    let host = Host::of(&engine)?;
    let runtimes = host.runtimes().await?;
    create(&runtimes, spec("a-1", &["/usr/bin/foo"])).await?;
    start(&runtimes, "a-1").await?;
    let reason = failure_of(&runtimes, "a-1").await?;
    assert!(reason.contains("/usr/bin/foo") && reason.contains("no such file"), "{reason}");
    let unknown = UnitSpec { user: "nobody-of-that-name".into(), ..spec("b-1", &["true"]) };
    run(&runtimes, unknown).await?;
    let reason = failure_of(&runtimes, "b-1").await?;
    assert!(reason.contains("nobody-of-that-name"), "{reason}");
    remove(&runtimes, "a-1").await?;
    assert_eq!(engine.docker(&["ps", "--all", "--quiet", "--filter", "name=a-1"])?, "");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_asks_first_and_kills_everything_when_the_grace_time_is_over() -> Result<()> {
    let engine = shared().await?;
    let host = Host::of(&engine)?;
    let runtimes = host.runtimes().await?;
    let mark = format!("7{:07}", std::process::id());
    let stubborn = format!("trap '' TERM; echo ready; sleep {mark} & while :; do sleep 1; done");
    run(&runtimes, script("polite-1", "trap 'exit 5' TERM; echo ready; while :; do sleep 0.02; done")).await?;
    run(&runtimes, script("stubborn-1", &stubborn)).await?;
    for name in ["polite-1", "stubborn-1"] {
        crate::host::line(&runtimes, name, "ready").await?;
        stop(&runtimes, name, "SIGTERM", 1500).await?;
    }
    assert_eq!(exit_of(&runtimes, "polite-1").await?.0, 5);
    let (code, reason, _) = exit_of(&runtimes, "stubborn-1").await?;
    assert_eq!((code, reason.as_str()), (137, "killed: still running when the grace time was over: ready"));
    let left = process::all().into_iter().any(|pid| process::argv(pid).last() == Some(&mark));
    assert!(!left, "a child of the stubborn one survived it");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_network_namespace_is_the_holders_and_outlives_the_program() -> Result<()> {
    let engine = shared().await?;
    let host = Host::of(&engine)?;
    let runtimes = host.runtimes().await?;
    let made = create(&runtimes, spec("net-1", &["sleep", "1000"])).await?;
    assert_eq!((made.state, made.can_start), (UnitState::Created, true));
    let namespace = || Ok::<_, anyhow::Error>(std::fs::read_link(runtimes.namespace("net-1").context("none")?)?);
    let before = namespace()?;
    let pid = pid_of(&start(&runtimes, "net-1").await?)?;
    assert_eq!(std::fs::read_link(format!("/proc/{pid}/ns/net"))?, before, "the program is in it");
    assert_ne!(std::fs::read_link("/proc/self/ns/net")?, before);
    stop(&runtimes, "net-1", "KILL", 0).await?;
    exit_of(&runtimes, "net-1").await?;
    assert_eq!(namespace()?, before);
    let again = start(&runtimes, "net-1").await?;
    assert_eq!((namespace()?, again.restarts), (before, 1));
    remove(&runtimes, "net-1").await?;
    assert_eq!(runtimes.namespace("net-1"), None);
    assert_eq!(engine.docker(&["ps", "--all", "--quiet", "--filter", "name=net-1"])?, "", "holder and all");
    Ok(())
}

fn tempdir(name: &str) -> Result<std::path::PathBuf> {
    let dir = std::env::temp_dir().join(format!("remuda-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    Ok(dir)
}
