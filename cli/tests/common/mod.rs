//! The real `remuda`, started as a user does, with nothing of this machine's environment.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// What a command said and how it ended.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// `remuda WORDS` with these variables and no others.
pub fn remuda_with(words: &[&str], variables: &[(&str, &str)]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_remuda"));
    command.args(words).env_clear().envs(variables.iter().copied()).stdin(Stdio::null());
    said(command.output().expect("remuda starts"))
}

/// The same with this text on its standard input.
pub fn remuda_told(words: &[&str], variables: &[(&str, &str)], text: &str) -> Said {
    use std::io::Write;
    let mut command = Command::new(env!("CARGO_BIN_EXE_remuda"));
    command.args(words).env_clear().envs(variables.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("remuda starts");
    // Who refuses at once may not read it.
    let _ = child.stdin.take().expect("piped").write_all(text.as_bytes());
    said(child.wait_with_output().expect("it ends"))
}

pub fn remuda(words: &[&str]) -> Said {
    remuda_with(words, &[])
}

fn said(output: Output) -> Said {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Said { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}

/// The certificate (PEM) of a CA that no server here has.
pub fn other_ca() -> String {
    rcgen::generate_simple_self_signed(["elsewhere".to_owned()]).expect("a certificate").cert.pem()
}

/// A directory of this test's own, removed when dropped.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("remuda-cli-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    pub fn file(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
