//! Paths of hosts and of containers: [`on_host`] and [`in_container`]. Plain text work, as Compose does it; nothing is
//! looked up.

use crate::context::Context;
use crate::field::Field;
use crate::problem::shown;
use crate::report::Report;

/// Longest path the kernel takes, bytes (`PATH_MAX`).
pub(crate) const PATH_MAX_BYTES: usize = 4096;

/// Begins like a path of the host, and not like the name of a volume.
pub(crate) fn is_path(text: &str) -> bool {
    text.starts_with(['/', '.', '~'])
}

/// The absolute path that `text` means on a host; None when it means none (reported at `field`).
///
/// What is not absolute begins in the folder of the first file, `~` in `HOME`.
pub(crate) fn on_host(text: &str, field: &Field, context: &mut Context) -> Option<String> {
    let full = if let Some(rest) = text.strip_prefix('~') {
        if !rest.is_empty() && !rest.starts_with('/') {
            let message = format!("{}: only `~/` of your own is known: write the path out", shown(text));
            field.problem(message, &mut context.report);
            return None;
        }
        let Some(home) = context.env.get("HOME").filter(|home| home.starts_with('/')) else {
            field.problem("`~` needs the variable HOME: set it, or write the path out", &mut context.report);
            return None;
        };
        format!("{home}/{rest}")
    } else if text.starts_with('/') {
        text.to_owned()
    } else {
        format!("{}/{text}", context.sources.directory)
    };
    let path = clean(&full);
    check_len(&path, field, &mut context.report).then_some(path)
}

/// The absolute path `text` of a container, without `.` and `..`; None when it is none (reported at `field`).
pub(crate) fn in_container(text: &str, field: &Field, report: &mut Report) -> Option<String> {
    let path = clean(text);
    if !text.starts_with('/') {
        let message = format!("{} is no path of a container: expected an absolute one such as `/data`", shown(text));
        field.problem(message, report);
        return None;
    }
    if path == "/" {
        field.problem("`/` is the container's whole file system: choose a folder below it", report);
        return None;
    }
    check_len(&path, field, report).then_some(path)
}

/// Looks like `C:\data` or `\\server\share`.
pub(crate) fn is_windows(text: &str) -> bool {
    let bytes = text.as_bytes();
    let has_drive = bytes.len() > 2 && bytes[0].is_ascii_alphabetic() && bytes[1] == b':';
    let has_drive = has_drive && (bytes[2] == b'\\' || (bytes[2] == b'/' && text[2..].contains(":/")));
    has_drive || text.starts_with("\\\\")
}

fn check_len(path: &str, field: &Field, report: &mut Report) -> bool {
    if path.len() > PATH_MAX_BYTES {
        field.problem(format!("is a path of {} bytes; the kernel takes {PATH_MAX_BYTES}", path.len()), report);
    }
    path.len() <= PATH_MAX_BYTES
}

/// Without empty parts, `.` and `..`; there is nothing above `/`.
fn clean(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_as_compose_does() {
        for (path, cleaned) in
            [("/", "/"), ("//a/./b/", "/a/b"), ("/a/../../b", "/b"), ("/home/u/./data", "/home/u/data"), ("/..", "/")]
        {
            assert_eq!(clean(path), cleaned, "{path}");
        }
    }

    #[test]
    fn paths_of_windows_are_told_from_volumes_with_one_letter() {
        for path in ["C:\\data", "c:/data:/data", "\\\\server\\share:/x"] {
            assert!(is_windows(path), "{path}");
        }
        for path in ["c:/data", "/c:/data", "cd:/data:ro", "./c"] {
            assert!(!is_windows(path), "{path}");
        }
    }
}
