//! Progress on the screen: one bar per service on a terminal, one line per change everywhere else.

use std::collections::BTreeMap;
use std::io::IsTerminal;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::listing::first_line;
use crate::progress::{Progress, ServiceProgress};

/// More bars than this do not fit a screen; the rest is told in lines.
const BARS_MAX: usize = 20;

pub enum Display {
    Bars { all: MultiProgress, bars: BTreeMap<String, ProgressBar> },
    Lines { last: BTreeMap<String, String> },
}

impl Display {
    /// For standard error, whatever it is.
    pub fn new(services: usize) -> Self {
        if std::io::stderr().is_terminal() && services <= BARS_MAX {
            Self::Bars { all: MultiProgress::new(), bars: BTreeMap::new() }
        } else {
            Self::Lines { last: BTreeMap::new() }
        }
    }

    pub fn show(&mut self, progress: &Progress) {
        match self {
            Self::Bars { all, bars } => {
                for service in &progress.services {
                    let bar = bars.entry(service.name.clone()).or_insert_with(|| all.add(bar(&service.name)));
                    draw(bar, service);
                }
            }
            Self::Lines { last } => {
                for service in &progress.services {
                    for line in changed_lines(last, service) {
                        eprintln!("{line}");
                    }
                }
            }
        }
    }

    /// A line above the bars, or simply the next one.
    pub fn say(&self, line: &str) {
        match self {
            Self::Bars { all, .. } => drop(all.println(line)),
            Self::Lines { .. } => eprintln!("{line}"),
        }
    }

    /// Leaves the last picture on the screen.
    pub fn end(&self) {
        if let Self::Bars { bars, .. } = self {
            bars.values().for_each(ProgressBar::abandon);
        }
    }
}

fn bar(name: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:20} [{bar:24}] {pos}/{len} {wide_msg}");
    let bar = ProgressBar::new(0);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
    bar.set_prefix(name.to_owned());
    bar
}

fn draw(bar: &ProgressBar, service: &ServiceProgress) {
    bar.set_length(service.desired.into());
    bar.set_position(service.done.min(service.desired).into());
    bar.set_message(words(service));
}

/// What is not done yet and why, in as few words as there are.
fn words(service: &ServiceProgress) -> String {
    let others = service.others.iter().map(|(state, count)| format!("{count} {state}"));
    let reasons = service.reasons.keys().map(|reason| first_line(reason));
    others.chain(reasons).collect::<Vec<_>>().join("; ")
}

/// The service's line when its numbers changed, each reason when it is new, and once what a failed container wrote last.
fn changed_lines(last: &mut BTreeMap<String, String>, service: &ServiceProgress) -> Vec<String> {
    let mut lines = Vec::new();
    let numbers = service.to_string();
    if last.insert(service.name.clone(), numbers.clone()).as_ref() != Some(&numbers) {
        lines.push(numbers);
    }
    // Lines of other services may have come since its own.
    let margin = |lines: &[String]| if lines.is_empty() { format!("{}: ", service.name) } else { "  ".to_owned() };
    for (reason, count) in &service.reasons {
        let key = format!("{}: {}", service.name, gist(reason));
        if last.insert(key, count.to_string()).is_none() {
            lines.push(format!("{}{reason}", margin(&lines)));
        }
    }
    if service.last_lines.is_some() && last.insert(format!("{}, last lines", service.name), String::new()).is_none() {
        lines.extend(service.last_words().iter().map(|line| format!("  {line}")));
    }
    lines
}

/// A reason without what differs from one time to the next: numbers, and when it goes on.
fn gist(reason: &str) -> String {
    let stable = reason.split(" (next start after ").next().unwrap_or_default();
    stable.trim_end_matches(" …").chars().filter(|c| !c.is_ascii_digit()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_printed_when_something_changed_and_a_reason_once() {
        let mut last = BTreeMap::new();
        let mut service = ServiceProgress { name: "shop/web".into(), desired: 2, ..ServiceProgress::default() };
        service.others.insert("pending".into(), 2);
        service.reasons.insert("no host is ready".into(), 2);
        assert_eq!(changed_lines(&mut last, &service), ["shop/web: 0 of 2 (2 pending)", "  no host is ready"]);
        assert!(changed_lines(&mut last, &service).is_empty());
        service.done = 1;
        service.others.insert("pending".into(), 1);
        service.reasons.insert("no host is ready".into(), 1);
        assert_eq!(changed_lines(&mut last, &service), ["shop/web: 1 of 2 (1 pending)"]);
    }

    #[test]
    fn a_crash_loop_is_told_once_under_its_own_name_with_the_last_lines_of_one_container() {
        let mut last = BTreeMap::new();
        let mut service = ServiceProgress { name: "shop/web".into(), desired: 1, ..ServiceProgress::default() };
        service.others.insert("failed".into(), 1);
        assert_eq!(changed_lines(&mut last, &service), ["shop/web: 0 of 1 (1 failed)"]);
        service.reasons.insert("exited with code 3: attempt 1 …".into(), 1);
        service.last_lines = Some(("shop-web-1".into(), vec!["attempt 1".into()]));
        let told = ["shop/web: exited with code 3: attempt 1 …", "  shop-web-1, last lines:", "    attempt 1"];
        assert_eq!(changed_lines(&mut last, &service), told);
        service.reasons = BTreeMap::from([("exited with code 3: attempt 2 (next start after 0.1 s) …".into(), 1)]);
        assert!(changed_lines(&mut last, &service).is_empty());
    }
}
