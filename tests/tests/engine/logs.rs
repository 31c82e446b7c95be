//! Logs of containers, read and followed.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use remuda_agent::action::UnitSpec;
use remuda_agent::runtime::{LogChunk, Stream};
use remuda_api::engine::EngineSpec;
use tokio::sync::mpsc;

use crate::host::{Host, LIMIT, exit_of, lines, remove, run, script, shared, start};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_lines_are_those_that_were_asked_for_and_the_streams_are_told_apart() -> Result<()> {
    let engine = shared().await?;
    let host = Host::of(&engine)?;
    let runtimes = host.runtimes().await?;
    run(&runtimes, script("a-1", "echo one; sleep 0.1; echo two >&2; sleep 0.1; printf three")).await?;
    exit_of(&runtimes, "a-1").await?;
    let all = [(Stream::Stdout, "one"), (Stream::Stderr, "two"), (Stream::Stdout, "three")];
    let all = all.map(|(stream, text)| (stream, text.to_owned()));
    assert_eq!(lines(&runtimes, "a-1", 0).await?, all);
    assert_eq!(lines(&runtimes, "a-1", 2).await?, all[1..]);
    let terminal = EngineSpec { tty: true, ..EngineSpec::default() };
    let long = "x=$(printf %020000d 7); echo $x; echo oops >&2";
    run(&runtimes, UnitSpec { engine: terminal, ..script("b-1", long) }).await?;
    exit_of(&runtimes, "b-1").await?;
    let said = lines(&runtimes, "b-1", 0).await?;
    assert!(said.iter().all(|line| line.0 == Stream::Stdout), "a terminal has one stream");
    let lengths: Vec<usize> = said.iter().map(|line| line.1.len()).collect();
    assert_eq!(lengths, [16 << 10, 20_000 - (16 << 10), 4], "a long line comes in pieces, as the engine keeps it");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_is_followed_over_restarts_of_its_container_and_ends_when_that_is_removed() -> Result<()> {
    let engine = shared().await?;
    let host = Host::of(&engine)?;
    let runtimes = host.runtimes().await?;
    // Tells its starts apart by a file of its own.
    let counts = "echo x >>/tmp/starts; n=$(wc -l </tmp/starts); echo start $n; echo end $n >&2";
    run(&runtimes, script("a-1", counts)).await?;
    let mut log = runtimes.logs("a-1", true, 0).await?;
    for n in 1..=3 {
        let mut both = [next(&mut log).await?, next(&mut log).await?];
        both.sort();
        assert_eq!(both, [format!("end {n}"), format!("start {n}")]);
        exit_of(&runtimes, "a-1").await?;
        if n < 3 {
            start(&runtimes, "a-1").await?;
        }
    }
    remove(&runtimes, "a-1").await?;
    let end = tokio::time::timeout(LIMIT, log.recv()).await.context("it does not end")?;
    assert_eq!(end, None);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_rotated_under_its_reader_loses_nothing() -> Result<()> {
    const LINES: usize = 3000;
    let engine = shared().await?;
    let host = Host::of(&engine)?;
    let runtimes = host.runtimes().await?;
    let small = EngineSpec {
        log_driver: "json-file".into(),
        log_options: vec!["max-size=64k".into(), "max-file=3".into()],
        ..EngineSpec::default()
    };
    // In pieces: who reads must not fall behind by more than is kept.
    let counts = format!(
        "i=0; while [ $i -lt {LINES} ]; do i=$((i+1)); echo line $i of {LINES}, as long as lines are; \
         [ $((i % 100)) = 0 ] && sleep 0.02; done; exec sleep 1000"
    );
    run(&runtimes, UnitSpec { engine: small, ..script("a-1", &counts) }).await?;
    let mut log = runtimes.logs("a-1", true, 0).await?;
    for n in 1..=LINES {
        let line = next(&mut log).await?;
        let wanted = format!("line {n} of {LINES}, as long as lines are");
        if line != wanted {
            bail!("after line {}: {line:?}", n - 1);
        }
    }
    let kept = lines(&runtimes, "a-1", 0).await?.len();
    assert!(kept < LINES, "nothing was rotated: {kept} lines");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_who_goes_away_leaves_nothing_behind() -> Result<()> {
    let engine = shared().await?;
    let host = Host::of(&engine)?;
    let runtimes = host.runtimes().await?;
    run(&runtimes, script("a-1", "while :; do echo on and on; done")).await?;
    let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let mut log = runtimes.logs("a-1", true, 0).await?;
    next(&mut log).await?;
    drop(log);
    let wait = async {
        while tokio::runtime::Handle::current().metrics().num_alive_tasks() > before {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LIMIT, wait).await.context("its reader lives on in the agent")?;
    Ok(())
}

async fn next(log: &mut mpsc::Receiver<LogChunk>) -> Result<String> {
    let chunk = tokio::time::timeout(LIMIT, log.recv()).await.context("no line comes")?.context("the log ended")?;
    Ok(String::from_utf8_lossy(&chunk.bytes).trim_end().to_owned())
}
