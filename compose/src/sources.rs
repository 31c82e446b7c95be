//! Everything the loader looks at: [`Sources`]. It opens nothing itself.

use std::collections::BTreeMap;

use crate::limits::FILE_MAX_BYTES;
use crate::problem::Problem;

/// The files of a stack and what they refer to outside of themselves.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// Compose files; one for now.
    pub files: &'a [SourceFile],
    /// A `rancher-compose.yml`: what Rancher says about their services.
    pub rancher: Option<&'a SourceFile>,
    /// What `${VAR}`, `environment: [KEY]` and `~` (`HOME`) look into.
    pub env: &'a BTreeMap<String, String>,
    /// The name of the stack.
    pub stack: &'a str,
    /// Where relative paths begin: the absolute path of the first file's folder.
    pub directory: &'a str,
    /// What [`crate::named_files`] asked for.
    pub named: &'a NamedFiles,
}

/// Files named in files, by absolute path: the text, or why it cannot be read. One that is not in here does not exist.
pub type NamedFiles = BTreeMap<String, Result<String, String>>;

static NO_FILES: NamedFiles = NamedFiles::new();

impl<'a> Sources<'a> {
    /// Files in `/` that name no others.
    pub fn new(files: &'a [SourceFile], env: &'a BTreeMap<String, String>, stack: &'a str) -> Self {
        Self { files, rancher: None, env, stack, directory: "/", named: &NO_FILES }
    }
}

/// One file as the user gave it; `path` is only shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    pub path: String,
    pub text: String,
}

impl SourceFile {
    /// A file from bytes as read; refuses what is too large ([`FILE_MAX_BYTES`]) or no UTF-8, with the place.
    ///
    /// Callers may stop reading after `FILE_MAX_BYTES + 1` bytes: the answer is the same.
    pub fn from_bytes(path: impl Into<String>, bytes: Vec<u8>) -> Result<Self, Problem> {
        let path = path.into();
        if bytes.len() > FILE_MAX_BYTES {
            return Err(Problem::too_large(&path));
        }
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self { path, text }),
            Err(error) => Err(Problem::not_utf8(&path, error.as_bytes(), error.utf8_error().valid_up_to())),
        }
    }
}
