//! How this host's units were, on disk: a restarted agent must not take what was healthy out of names and lists until
//! it is asked again.

use std::io;
use std::path::Path;

use super::rota::Verdicts;

/// Inside the data directory.
const FILE: &str = "health.json";

/// What an agent before knew; nothing if there was none. One that cannot be read is like none: units are asked again.
pub fn load(data_dir: &Path) -> Verdicts {
    let bytes = std::fs::read(data_dir.join(FILE)).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

/// Not flushed to the disk: a crash of the machine ends the units it is about.
pub(super) fn save(data_dir: &Path, verdicts: &Verdicts) -> io::Result<()> {
    let (path, beside) = (data_dir.join(FILE), data_dir.join("health.json.new"));
    std::fs::write(&beside, serde_json::to_vec(verdicts)?)?;
    std::fs::rename(beside, path)
}

/// Removes what is stored.
pub fn forget(data_dir: &Path) -> io::Result<()> {
    match std::fs::remove_file(data_dir.join(FILE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::rota::Known;
    use crate::observed::{Health, Verdict};

    #[test]
    fn what_was_saved_is_loaded_again_and_a_damaged_file_is_like_none() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(load(folder.path()).is_empty());
        let health = Health { verdict: Verdict::Unhealthy, reason: "exited with code 1".into() };
        let verdicts = Verdicts::from([("shop-web-1".to_owned(), Known { started_ms: 7, health })]);
        save(folder.path(), &verdicts).expect("saved");
        assert_eq!(load(folder.path()), verdicts);
        std::fs::write(folder.path().join(FILE), "{").expect("written");
        assert!(load(folder.path()).is_empty());
        forget(folder.path()).expect("forgotten");
        forget(folder.path()).expect("nothing to forget");
    }
}
