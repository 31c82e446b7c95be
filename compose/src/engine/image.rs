//! How a service's image comes to a host: `pull_policy` and `platform`.

use crate::field::Field;
use crate::keys;
use crate::report::Report;

const POLICIES: &str = "`always`, `missing` or `never`";

/// `always`, `missing`, `never`, or nothing where the default stands for what is asked.
pub(super) fn read_pull_policy(field: &Field, report: &mut Report) -> String {
    let Some(policy) = field.line(POLICIES, report) else {
        return String::new();
    };
    match policy {
        "always" | "never" | "missing" => return policy.to_owned(),
        "if_not_present" => return "missing".to_owned(),
        "build" => keys::not_yet(field.place(), policy, "nothing is built, the image must exist", report),
        "daily" | "weekly" | "refresh" => {
            keys::not_yet(field.place(), policy, "an image is pulled where it is missing", report);
        }
        _ if policy.starts_with("every_") => {
            keys::not_yet(field.place(), "every_…", "an image is pulled where it is missing", report);
        }
        _ => field.expected(POLICIES, report),
    }
    String::new()
}

/// `os[/arch[/variant]]`.
pub(super) fn read_platform(field: &Field, report: &mut Report) -> String {
    let expected = "a platform such as `linux/amd64`";
    let Some(platform) = field.line(expected, report) else {
        return String::new();
    };
    let is_word =
        |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
    let parts: Vec<&str> = platform.split('/').collect();
    if parts.len() > 3 || !parts.iter().all(|part| is_word(part)) {
        field.expected(expected, report);
    } else if parts[0].eq_ignore_ascii_case("windows") {
        field.problem("hosts run Linux: choose an image for it, and a platform such as `linux/amd64`", report);
    }
    platform.to_ascii_lowercase()
}
