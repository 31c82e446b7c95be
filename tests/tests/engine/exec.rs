//! Commands in running containers.

use anyhow::{Context, Result};
use remuda_agent::action::UnitSpec;
use remuda_agent::runtime::{ExecInput, ExecOutput, ExecSession, NotStarted, Runtimes};
use remuda_lab::process;
use tokio::sync::mpsc;

use crate::host::{Host, LIMIT, exit_of, pid_of, run, shared, spec, stop, words};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_runs_inside_the_container_with_and_without_a_terminal() -> Result<()> {
    let engine = shared().await?;
    let host = Host::of(&engine)?;
    let runtimes = host.runtimes().await?;
    run(&runtimes, UnitSpec { user: "app".into(), ..spec("web-1", &["sleep", "1000"]) }).await?;
    assert_eq!(talk(&runtimes, &["cat"], None, b"abc\n").await?, ("abc\n".into(), 0));
    let (out, code) = talk(&runtimes, &["sh", "-c", "id -un; hostname; tty; exit 7"], None, b"").await?;
    assert_eq!((out.as_str(), code), ("app\nweb-1\nnot a tty\n", 7));
    let (out, code) = talk(&runtimes, &["sh", "-c", "cat; tty; exit 3"], Some((40, 100)), b"typed\n").await?;
    // As the terminal echoes it, and as `cat` says it.
    assert!(out.starts_with("typed\r\ntyped\r\n") && out.ends_with("/dev/pts/0\r\n"), "{out:?}");
    assert_eq!(code, 3);
    let (out, code) = talk(&runtimes, &["sh", "-c", "kill -KILL $$"], None, b"").await?;
    assert_eq!((out.as_str(), code), ("", 137));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminal_has_the_size_of_the_users_and_follows_it() -> Result<()> {
    let engine = shared().await?;
    let host = Host::of(&engine)?;
    let runtimes = host.runtimes().await?;
    run(&runtimes, spec("web-1", &["sleep", "1000"])).await?;
    let argv = words(&["sh", "-c", "while read word; do stty size; done"]);
    let mut session = runtimes.exec("web-1", &argv, Some((40, 100))).await?;
    let ask = async |session: &mut ExecSession, wanted: &str| {
        session.input.send(ExecInput::Bytes(b"\n".to_vec())).await?;
        until_says(&mut session.output, wanted).await
    };
    ask(&mut session, "40 100").await?;
    session.input.send(ExecInput::Resize(25, 77)).await?;
    ask(&mut session, "25 77").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_cannot_be_run_is_refused_in_words() -> Result<()> {
    let engine = shared().await?;
    let host = Host::of(&engine)?;
    let runtimes = host.runtimes().await?;
    run(&runtimes, spec("web-1", &["sleep", "1000"])).await?;
    for terminal in [None, Some((24, 80))] {
        let missing = runtimes.exec("web-1", &words(&["no-such-thing"]), terminal).await.map(drop);
        let missing = missing.expect_err("it is missing").to_string();
        assert_eq!(missing, "web-1: exec: \"no-such-thing\": executable file not found in $PATH");
    }
    let pieces = runtimes.check("web-1", &words(&["no-such-thing"])).await;
    let (out, code) = collected(pieces.map_err(|error| anyhow::anyhow!("{error:?}"))?).await?;
    assert_eq!((out.as_str(), code), ("exec: \"no-such-thing\": executable file not found in $PATH", 126));
    stop(&runtimes, "web-1", "KILL", 0).await?;
    exit_of(&runtimes, "web-1").await?;
    let ended = runtimes.check("web-1", &words(&["true"])).await.map(drop);
    assert_eq!(ended, Err(NotStarted::Refused("the container is not running".into())));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_health_command_that_leaves_a_child_behind_is_answered_and_nothing_of_it_stays_in_the_agent() -> Result<()> {
    let engine = shared().await?;
    let host = Host::of(&engine)?;
    let runtimes = host.runtimes().await?;
    let pid = pid_of(&run(&runtimes, spec("web-1", &["sleep", "1000"])).await?)?;
    assert_eq!(checked(&runtimes, "true").await?, (String::new(), 0));
    let before = tasks();
    assert_eq!(checked(&runtimes, "cat").await?, (String::new(), 0), "its input is at its end");
    assert_eq!(checked(&runtimes, "sleep 1001 & echo fine").await?, ("fine\n".into(), 0));
    // In a session of its own it outlives the command, and holds its output open.
    let outlives = "setsid sleep 1002 & until grep -q sleep /proc/$!/comm; do :; done; echo fine; exit 3";
    assert_eq!(checked(&runtimes, outlives).await?, ("fine\n".into(), 3));
    // Nobody waits for its end.
    let hung = "setsid sleep 1003 & until grep -q sleep /proc/$!/comm; do :; done; echo ready; sleep 1004";
    let mut hung = runtimes.check("web-1", &words(&["sh", "-c", hung])).await.map_err(|e| anyhow::anyhow!("{e:?}"))?;
    hung.recv().await.context("it ended")?;
    drop(hung);
    let namespace = std::fs::read_link(format!("/proc/{pid}/ns/pid"))?;
    // Dead ones stay until somebody reaps them: the container's program does not.
    let sleeping = || {
        let all = process::all().into_iter().filter(|pid| process::is_alive(*pid));
        let own = all.filter(|pid| std::fs::read_link(format!("/proc/{pid}/ns/pid")).is_ok_and(|of| of == namespace));
        let mut all: Vec<String> = own.filter_map(|pid| process::argv(pid).pop()).collect();
        all.sort();
        all
    };
    let is_over = || tasks() <= before && sleeping() == ["1000", "1002"];
    remuda_lab::wait_until("only what outlives is left", LIMIT, is_over)
        .with_context(|| format!("{:?} and {} tasks more than before", sleeping(), tasks() - before))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_dropped_hangs_up_what_it_started() -> Result<()> {
    let engine = shared().await?;
    let host = Host::of(&engine)?;
    let runtimes = host.runtimes().await?;
    run(&runtimes, spec("web-1", &["sleep", "1000"])).await?;
    for terminal in [None, Some((24, 80))] {
        let mark = format!("6{:07}{}", std::process::id(), terminal.is_some() as u8);
        let argv = words(&["sh", "-c", &format!("sleep {mark} & echo ready; sleep {mark}")]);
        let mut session = runtimes.exec("web-1", &argv, terminal).await?;
        until_says(&mut session.output, "ready").await?;
        let sleeping = || {
            let sleep = |pid: &u32| process::is_alive(*pid) && process::argv(*pid).last() == Some(&mark);
            process::all().into_iter().filter(sleep).count()
        };
        remuda_lab::wait_until("both sleep", LIMIT, || sleeping() == 2)?;
        drop(session);
        remuda_lab::wait_until("nothing of it is left", LIMIT, || sleeping() == 0)?;
    }
    Ok(())
}

async fn talk(runtimes: &Runtimes, argv: &[&str], terminal: Option<(u16, u16)>, input: &[u8]) -> Result<(String, i32)> {
    let session = runtimes.exec("web-1", &words(argv), terminal).await?;
    // One that has ended takes none.
    let _ = session.input.send(ExecInput::Bytes(input.to_vec())).await;
    let _ = session.input.send(ExecInput::End).await;
    collected(session.output).await
}

/// Of the runtime of this test alone.
fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

/// Output and code of a health command.
async fn checked(runtimes: &Runtimes, script: &str) -> Result<(String, i32)> {
    let pieces = runtimes.check("web-1", &words(&["sh", "-c", script])).await;
    collected(pieces.map_err(|error| anyhow::anyhow!("{error:?}"))?).await
}

async fn collected(mut pieces: mpsc::Receiver<ExecOutput>) -> Result<(String, i32)> {
    let all = async {
        let mut output = Vec::new();
        while let Some(piece) = pieces.recv().await {
            match piece {
                ExecOutput::Stdout(bytes) | ExecOutput::Stderr(bytes) => output.extend(bytes),
                ExecOutput::Exited(code) => return Ok((String::from_utf8_lossy(&output).into_owned(), code)),
            }
        }
        anyhow::bail!("it ended without a code")
    };
    tokio::time::timeout(LIMIT, all).await.context("it does not end")?
}

async fn until_says(output: &mut mpsc::Receiver<ExecOutput>, wanted: &str) -> Result<()> {
    let mut all = String::new();
    let wait = async {
        while !all.contains(wanted) {
            match output.recv().await.context("it ended")? {
                ExecOutput::Stdout(bytes) | ExecOutput::Stderr(bytes) => all.push_str(&String::from_utf8_lossy(&bytes)),
                ExecOutput::Exited(code) => anyhow::bail!("exited with code {code}"),
            }
        }
        Ok(())
    };
    let waited = tokio::time::timeout(LIMIT, wait).await;
    waited.map_err(anyhow::Error::from).and_then(|said| said).with_context(|| format!("said {all:?}, not {wanted:?}"))
}
