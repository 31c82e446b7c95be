//! What holds for every store, shown on the embedded one.

use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use remuda_orchestrator::store::redb::RedbStore;
use remuda_orchestrator::store::{Committed, Store, StoreError, Write};

fn open(dir: &Path) -> RedbStore {
    RedbStore::open(&dir.join("state.redb")).expect("it opens")
}

fn put(key: &str, value: &str) -> Write {
    Write::Put(key.into(), value.into())
}

#[tokio::test]
async fn a_commit_is_all_or_nothing_and_only_from_the_revision_held() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    assert_eq!(store.commit(0, vec![put("a", "1"), put("b", "1")]).await.expect("first"), 1);
    let late = store.commit(0, vec![put("a", "2")]).await;
    assert!(matches!(late, Err(StoreError::Conflict { held: 1, from: 0 })), "{late:?}");
    assert_eq!(store.commit(1, vec![Write::Delete("a".into()), put("c", "1")]).await.expect("second"), 2);
    let loaded = store.load().await.expect("loads");
    assert_eq!(loaded.revision, 2);
    assert_eq!(loaded.records, [("b".to_owned(), b"1".to_vec()), ("c".to_owned(), b"1".to_vec())]);
}

#[tokio::test]
async fn of_two_writers_from_one_revision_exactly_one_wins() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    let writers = (0..20).map(|n| store.commit(0, vec![put("winner", &n.to_string())]));
    let outcomes = futures::future::join_all(writers).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
}

#[tokio::test]
async fn a_watcher_sees_every_commit_in_order() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    let mut watch = store.watch();
    for revision in 0..3 {
        store.commit(revision, vec![put("a", &revision.to_string())]).await.expect("commits");
    }
    for revision in 0..3u64 {
        let expected = Committed { revision: revision + 1, writes: vec![put("a", &revision.to_string())] };
        assert_eq!(watch.recv().await.expect("a commit"), expected);
    }
}

#[tokio::test]
async fn a_closed_store_refuses_everything_and_another_may_open_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = open(dir.path());
    store.commit(0, vec![put("a", "1")]).await.expect("commits");
    store.close().await;
    assert!(matches!(store.commit(1, vec![]).await, Err(StoreError::Closed)));
    assert_eq!(open(dir.path()).load().await.expect("loads").revision, 1);
}

#[test]
fn a_second_process_a_damaged_file_and_a_newer_format_are_told_apart() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("state.redb");
    let first = open(dir.path());
    assert!(matches!(RedbStore::open(&path), Err(StoreError::InUse(_))));
    drop(first);
    {
        let database = redb::Database::create(&path).expect("opens");
        let transaction = database.begin_write().expect("writes");
        let table = redb::TableDefinition::<&str, u64>::new("numbers");
        transaction.open_table(table).expect("a table").insert("format", 99).expect("inserted");
        transaction.commit().expect("committed");
    }
    assert!(matches!(RedbStore::open(&path), Err(StoreError::Newer { found: 99, .. })));
    std::fs::write(&path, "this is no database, but long enough to be looked at".repeat(200)).expect("written");
    let error = RedbStore::open(&path).err().expect("refused");
    assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
    assert!(error.to_string().contains("state.redb"), "{error}");
}

/// Acknowledged writes survive kill -9: a child prints each revision once it is acknowledged, and is killed amid it.
#[tokio::test]
async fn what_was_acknowledged_is_there_after_kill_9() {
    for round in 0..5 {
        let dir = tempfile::tempdir().expect("a directory");
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "store::child_that_commits_until_it_is_killed", "--nocapture"])
            .env("REMUDA_STORE_DIR", dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let mut acknowledged = 0;
        let mut numbers = lines.map_while(Result::ok).filter_map(|line| line.trim().parse::<u64>().ok());
        for revision in numbers.by_ref().take(20 + 7 * round) {
            acknowledged = revision;
        }
        child.kill().expect("SIGKILL");
        // What it had printed before it died counts too.
        acknowledged = numbers.last().unwrap_or(acknowledged);
        child.wait().expect("reaped");
        let loaded = open(dir.path()).load().await.expect("loads");
        assert!(acknowledged >= 20 && loaded.revision >= acknowledged, "{acknowledged} of {}", loaded.revision);
        let (_, value) = &loaded.records[0];
        assert_eq!(*value, loaded.revision.to_string().into_bytes(), "revision and records are of one commit");
    }
}

/// The child of the test above; by itself it has nothing to do.
#[tokio::test]
async fn child_that_commits_until_it_is_killed() {
    let Some(dir) = std::env::var_os("REMUDA_STORE_DIR") else { return };
    let store = open(Path::new(&dir));
    println!();
    for revision in 0.. {
        store.commit(revision, vec![put("a", &(revision + 1).to_string())]).await.expect("commits");
        println!("{}", revision + 1);
        std::io::stdout().flush().expect("flushed");
    }
}
