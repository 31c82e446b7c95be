//! `profiles`: services that are part of the stack only when one of their profiles is asked for.

use std::collections::BTreeSet;

use crate::context::Context;
use crate::field::Field;
use crate::keys;
use crate::problem::shown;

/// Names of the profiles that are active, with commas between them; `*` is all.
const ACTIVE: &str = "COMPOSE_PROFILES";

/// True if the service has no profile, or an active one. What is left out is checked for unknown keys all the same.
pub(crate) fn is_active(service: &Field, context: &mut Context) -> bool {
    let members = service.members();
    let Some(profiles) = members.iter().find(|entry| entry.key() == "profiles") else {
        return true;
    };
    let mut names = BTreeSet::new();
    for item in profiles.items("a list of profiles such as `- debug`", &mut context.report) {
        let Some(name) = item.line("a profile such as `debug`", &mut context.report) else {
            continue;
        };
        if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) {
            let message = format!("profile {}: expected letters, digits, `.`, `_` and `-`", shown(name));
            item.problem(message, &mut context.report);
        }
        names.insert(name);
    }
    let active = context.env.get(ACTIVE).map_or("", String::as_str);
    if names.is_empty() || active.split(',').map(str::trim).any(|active| active == "*" || names.contains(active)) {
        return true;
    }
    keys::check_inner(service, keys::Inner::Map(&keys::SERVICE), &mut context.report);
    let message =
        format!("services none of whose `profiles` is active are left out: name one in {ACTIVE} to have them");
    context.report.notice(profiles.key_place(), message);
    context.left_out.insert(service.key().to_owned());
    false
}
