//! The assignment from a YAML or JSON file, read again whenever the file changes.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use remuda_api::assignment::Assignment;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;

use super::{Assignments, Held, check};
use crate::problems::Problems;

/// A larger file is refused: 50 MB of assignment would be some 100,000 containers.
const FILE_MAX_BYTES: u64 = 50 << 20;

/// What the file source calls itself in problems.
const ABOUT: &str = "assignment file";

/// Follows `path` until the receiver is dropped. An error means it cannot be watched; a bad file is a problem that
/// is named, and the last good one stays.
pub fn follow(path: &Path, problems: Problems) -> io::Result<Assignments> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().ok_or_else(|| io::Error::other(format!("{} names no file", path.display())))?;
    let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
    // The folder, not the file: editors and `mv` put a new file in its place.
    inotify.add_watch(folder, AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_MOVED_TO)?;
    let watched = Watched(inotify);
    let (send, receive) = watch::channel(None);
    let mut file = File { path: path.to_owned(), problems, send };
    file.read();
    let name = name.to_owned();
    // SAFETY: the descriptor is owned by `watched`, always the same, and closed only when `watched` is dropped.
    let events = unsafe { AsyncFd::register(watched) }.map_err(|error| io::Error::other(error.to_string()))?;
    tokio::spawn(async move {
        while changed(&events, &name, &file.send).await {
            file.read();
        }
    });
    Ok(receive)
}

/// The file's assignment, or what is wrong with it: file, line and field.
pub fn parse(path: &Path, text: &str) -> Result<Assignment, String> {
    let mut field = None;
    let parsed = serde_saphyr::with_deserializer_from_str(text, |deserializer| {
        serde_path_to_error::deserialize(deserializer).map_err(|error| {
            field = Some(error.path().to_string()).filter(|path| path != ".");
            error.into_inner()
        })
    });
    let mut assignment: Assignment = parsed.map_err(|error: serde_saphyr::Error| {
        let field = field.map_or_else(String::new, |field| format!(" `{field}`"));
        let place = error.location().map_or_else(String::new, |at| format!(":{}:{}", at.line(), at.column()));
        format!("{}{place}:{field} {}", path.display(), error.without_snippet())
    })?;
    assignment.sort();
    check(&assignment).map_err(|problems| format!("{}:\n  {problems}", path.display()))?;
    Ok(assignment)
}

struct File {
    path: PathBuf,
    problems: Problems,
    send: watch::Sender<Option<Arc<Held>>>,
}

impl File {
    fn read(&mut self) {
        match load(&self.path) {
            Ok(assignment) => {
                self.problems.clear(ABOUT);
                self.send.send_if_modified(|held| replace(held, assignment));
            }
            Err(problem) => self.problems.set(ABOUT, problem),
        }
    }
}

/// True if the content is new. Generations only grow here: a file whose author left the number alone gets the next.
fn replace(held: &mut Option<Arc<Held>>, mut assignment: Assignment) -> bool {
    let before = held.as_ref().map(|held| &held.assignment);
    let last = before.map_or(0, |before| before.generation);
    let is_same = before.is_some_and(|before| {
        let numbered = Assignment { generation: last, ..assignment.clone() };
        assignment.generation <= last && numbered == *before
    });
    if is_same {
        return false;
    }
    if assignment.generation <= last {
        assignment.generation = last + 1;
    }
    *held = Some(Arc::new(Held { assignment, synced: true }));
    true
}

fn load(path: &Path) -> Result<Assignment, String> {
    let unreadable = |error: io::Error| format!("{}: {error}", path.display());
    let len = std::fs::metadata(path).map_err(unreadable)?.len();
    if len > FILE_MAX_BYTES {
        return Err(format!("{}: {len} bytes; at most {FILE_MAX_BYTES} are read", path.display()));
    }
    parse(path, &std::fs::read_to_string(path).map_err(unreadable)?)
}

/// Waits for a change of the file. False when nobody listens any more.
async fn changed(events: &AsyncFd<Watched>, name: &OsStr, send: &watch::Sender<Option<Arc<Held>>>) -> bool {
    loop {
        let ready = tokio::select! {
            ready = events.readable() => ready,
            () = send.closed() => return false,
        };
        let Ok(mut ready) = ready else { return false };
        match ready.get_inner().0.read_events() {
            Ok(seen) if seen.iter().any(|event| event.name.as_deref() == Some(name)) => return true,
            Ok(_) => {}
            Err(nix::errno::Errno::EAGAIN) => ready.clear_ready(),
            Err(error) => {
                tracing::error!("watching the assignment file: {error}; it is not followed any more");
                return false;
            }
        }
    }
}

/// nix gives the descriptor as `AsFd`, tokio wants `AsRawFd`.
struct Watched(Inotify);

impl std::os::fd::AsRawFd for Watched {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        use std::os::fd::AsFd;
        self.0.as_fd().as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::tests::two_hosts;

    fn refusal(text: &str) -> String {
        parse(Path::new("host.yaml"), text).expect_err("it should be refused")
    }

    #[test]
    fn yaml_and_json_lead_to_the_same_assignment() {
        let json = serde_json::to_string(&two_hosts()).expect("it can be written");
        assert_eq!(parse(Path::new("a.json"), &json), Ok(two_hosts()));
        let yaml = json.replacen("{\"generation\":7", "# by hand\n{\"generation\": 7", 1);
        assert_eq!(parse(Path::new("a.yaml"), &yaml), Ok(two_hosts()));
    }

    #[test]
    fn a_wrong_type_is_refused_with_file_line_and_field() {
        let refusal = refusal("generation: 1\nnodes:\n  - id: one\n");
        assert!(refusal.starts_with("host.yaml:3:"), "{refusal}");
        assert!(refusal.contains("`nodes[0].id`"), "{refusal}");
    }

    #[test]
    fn an_unknown_field_is_refused_with_its_name() {
        let refusal = refusal("generation: 1\nconteiners: []\n");
        assert!(refusal.starts_with("host.yaml:2:") && refusal.contains("conteiners"), "{refusal}");
    }

    #[test]
    fn tabs_duplicate_keys_and_alias_bombs_are_refused() {
        refusal("generation:\n\t- 1\n");
        refusal("generation: 1\ngeneration: 2\n");
        let bomb: String =
            (1..12).map(|n| format!("  a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 10].join(","))).collect();
        refusal(&format!("nodes:\n  a0: &a0 [x]\n{bomb}"));
    }

    #[test]
    fn a_file_whose_number_was_left_alone_gets_the_next_and_one_that_did_not_change_none() {
        let mut held = None;
        assert!(replace(&mut held, two_hosts()));
        assert!(!replace(&mut held, two_hosts()), "nothing changed");
        let mut changed = two_hosts();
        changed.services.clear();
        assert!(replace(&mut held, changed));
        assert_eq!(held.expect("one is held").assignment.generation, 8);
    }

    #[tokio::test]
    async fn a_file_that_is_replaced_is_read_again_and_a_bad_one_changes_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("host.json");
        let write = |assignment: &Assignment| {
            std::fs::write(&path, serde_json::to_string(assignment).expect("it can be written")).expect("written");
        };
        write(&two_hosts());
        let problems = Problems::default();
        let mut assignments = follow(&path, problems.clone()).expect("it can be watched");
        let held =
            |assignments: &mut Assignments| assignments.borrow_and_update().as_ref().map(|h| h.assignment.generation);
        assert_eq!(held(&mut assignments), Some(7));
        std::fs::write(&path, "nodes: 3\n").expect("written");
        let mut next = two_hosts();
        next.generation = 9;
        while problems.lines().is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(held(&mut assignments), Some(7));
        write(&next);
        assignments.changed().await.expect("the source lives");
        assert_eq!(held(&mut assignments), Some(9));
        assert_eq!(problems.lines(), Vec::<String>::new());
    }
}
