//! `links`, `external_links` and `expose`: of a time when containers were introduced to each other one by one. Today
//! services of a stack find each other by name.

use crate::context::{Context, Link};
use crate::field::Field;
use crate::ports;
use crate::problem::shown;
use crate::report::Report;

/// Notes `service[:alias]` for [`check`].
pub(crate) fn read(field: &Field, context: &mut Context) {
    for item in field.items("a list of services such as `- db` or `- db:database`", &mut context.report) {
        let Some(text) = item.line("a service such as `db`, or `db:alias`", &mut context.report) else {
            continue;
        };
        let (service, alias) = text.split_once(':').unwrap_or((text, text));
        let link = Link { service: service.to_owned(), alias: alias.to_owned(), place: item.place() };
        context.references.links.push(link);
    }
}

/// Checks `container[:alias]`, as Rancher has it `stack/service[:alias]`.
pub(crate) fn read_external(field: &Field, report: &mut Report) {
    for item in field.items("a list such as `- other/db` or `- other/db:database`", report) {
        if item.line("something such as `other/db`", report).is_some() {
            let message = "`external_links` is understood, not acted on yet: a service of another stack is reached as \
                           `service.stack`";
            report.notice(field.key_place(), message.to_owned());
        }
    }
}

/// Checks ports that are open to other services; all are, so there is nothing to do.
pub(crate) fn read_expose(field: &Field, report: &mut Report) {
    for item in field.items("a list of ports such as `- \"80\"`", report) {
        if let Some(text) = item.text("a port such as `80`, or `53/udp`", report)
            && let Err(message) = ports::check_exposed(text)
        {
            item.problem(format!("{} {message}", shown(text)), report);
        }
    }
}
