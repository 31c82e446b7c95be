//! `healthcheck`: the command that says from inside how a container is.

use remuda_api::engine::EngineSpec;
use remuda_api::health::{HealthCommand, limits};

use crate::field::Field;
use crate::keys;
use crate::problem::shown;
use crate::quantity;
use crate::report::Report;
use crate::value::Value;

const EXPECTED: &str = "a command line for the shell, or a list that begins with CMD, CMD-SHELL or NONE";

/// The command; None when there is none or it is switched off, which switches off the image's own too.
pub(crate) fn read(field: &Field, engine: &mut EngineSpec, report: &mut Report) -> Option<HealthCommand> {
    let entries = keys::acted(field, &keys::HEALTHCHECK, report);
    let (mut command, mut test, mut is_off) = (HealthCommand::new(Vec::new()), None, false);
    for entry in &entries {
        match entry.key() {
            "test" => test = read_test(entry, report),
            "disable" => is_off = entry.boolean(report).unwrap_or(false),
            "retries" => {
                let range = u64::from(*limits::THRESHOLD.start())..=u64::from(*limits::THRESHOLD.end());
                let retries = entry.integer(range, report).and_then(|retries| u32::try_from(retries).ok());
                command.retries = retries.unwrap_or(command.retries);
            }
            _ => read_time(entry, &mut command, report),
        }
    }
    engine.no_healthcheck = is_off || matches!(test, Some(Test::None));
    match test {
        _ if is_off => None,
        Some(Test::None) => {
            if let Some(other) = entries.iter().find(|entry| entry.key() != "test") {
                let message =
                    "`test: NONE` switches the check off: remove this key, or write `disable: true` for `test`";
                other.problem_at_key(message, report);
            }
            None
        }
        Some(Test::Command(argv)) => Some(HealthCommand { argv, ..command }),
        None => {
            // A test that is there and wrong has been reported.
            if !entries.iter().any(|entry| entry.key() == "test") {
                let message = "has no `test:`, and so nothing is checked but what the image itself brings, as it brings \
                               it: write `test: [CMD, …]`, or remove this";
                report.notice(field.key_place(), message.to_owned());
            }
            None
        }
    }
}

fn read_time(entry: &Field, command: &mut HealthCommand, report: &mut Report) {
    let (slot, range_ms) = match entry.key() {
        "interval" => (&mut command.interval_ms, limits::INTERVAL_MS),
        "timeout" => (&mut command.timeout_ms, limits::TIMEOUT_MS),
        "start_period" => (&mut command.start_period_ms, limits::START_PERIOD_MS),
        "start_interval" => (&mut command.start_interval_ms, limits::INTERVAL_MS),
        _ => return,
    };
    *slot = quantity::duration_ms(entry, range_ms, report).unwrap_or(*slot);
}

enum Test {
    /// Switched off.
    None,
    Command(Vec<String>),
}

fn read_test(field: &Field, report: &mut Report) -> Option<Test> {
    let words = match &field.node.value {
        Value::Text { .. } => {
            let line = field.text(EXPECTED, report)?;
            match line.trim() {
                "" => Vec::new(),
                "NONE" => return Some(Test::None),
                _ => vec!["CMD-SHELL".to_owned(), line.to_owned()],
            }
        }
        Value::List(_) => {
            let items = field.items(EXPECTED, report);
            let words: Option<Vec<String>> =
                items.iter().map(|item| item.text("an argument (text)", report).map(str::to_owned)).collect();
            words?
        }
        Value::Broken => return None,
        Value::Null | Value::Map(_) => {
            field.expected(EXPECTED, report);
            return None;
        }
    };
    if words.iter().any(|word| word.contains('\0')) {
        field.problem("an argument cannot hold a zero byte: remove it", report);
        return None;
    }
    match test_of(&words) {
        Ok(test) => Some(test),
        Err(message) => {
            field.problem(message, report);
            None
        }
    }
}

fn test_of(words: &[String]) -> Result<Test, String> {
    let Some((kind, arguments)) = words.split_first() else {
        return Err(format!("is empty: expected {EXPECTED}"));
    };
    match (kind.as_str(), arguments) {
        ("NONE", []) => Ok(Test::None),
        ("NONE", _) => Err("NONE switches the check off and takes no command: remove one of them".into()),
        ("CMD", [program, ..]) if !program.is_empty() => match arguments.len() <= limits::ARGV_MAX {
            true => Ok(Test::Command(arguments.to_vec())),
            false => Err(format!("{} arguments are too many: at most {}", arguments.len(), limits::ARGV_MAX)),
        },
        ("CMD", _) => Err("CMD names no program: write it as the second item, as in `[CMD, curl, -f, …]`".into()),
        ("CMD-SHELL", [line]) if !line.trim().is_empty() => {
            Ok(Test::Command(vec!["/bin/sh".into(), "-c".into(), line.clone()]))
        }
        ("CMD-SHELL", _) => Err("CMD-SHELL takes one command line: quote it as one item".into()),
        _ => {
            let advice = match keys::nearest(kind, ["CMD", "CMD-SHELL", "NONE"].into_iter()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "put CMD before the program".to_owned(),
            };
            Err(format!("a list begins with CMD, CMD-SHELL or NONE, found {}: {advice}", shown(kind)))
        }
    }
}
