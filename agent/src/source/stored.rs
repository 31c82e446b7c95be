//! The last assignment from the stream, on disk: a restarted agent goes by it while it has no orchestrator.

use std::io;
use std::path::Path;

use prost::Message;
use remuda_api::assignment::Assignment;

use crate::durable;

/// Inside the data directory.
const FILE: &str = "assignment";

/// Replaces what is stored, whole or not at all.
pub fn save(data_dir: &Path, assignment: &Assignment) -> io::Result<()> {
    durable::write(&data_dir.join(FILE), &assignment.encode_to_vec(), 0o600)
}

/// What is stored; None if nothing is. An error says that it cannot be read.
pub fn load(data_dir: &Path) -> io::Result<Option<Assignment>> {
    match std::fs::read(data_dir.join(FILE)) {
        Ok(bytes) => Assignment::decode(bytes.as_slice()).map(Some).map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
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

    #[test]
    fn what_was_saved_is_loaded_again() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(load(folder.path()).expect("readable").is_none());
        let assignment = crate::desired::tests::two_hosts();
        save(folder.path(), &assignment).expect("saved");
        assert_eq!(load(folder.path()).expect("readable"), Some(assignment));
    }
}
