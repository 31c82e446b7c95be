//! How a line of the demo looks.

/// A thing that was shown, and what was measured while showing it.
pub fn proved(what: &str, measured: &str) {
    line(" ok ", what, measured);
}

pub fn failed(what: &str, error: &anyhow::Error) {
    line("FAIL", what, &format!("{error:#}"));
}

fn line(mark: &str, what: &str, text: &str) {
    let mut lines = text.lines();
    println!("{mark} {what:<16} {}", lines.next().unwrap_or_default());
    lines.for_each(|more| println!("{:21} {more}", ""));
}
