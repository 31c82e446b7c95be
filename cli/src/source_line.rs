//! Problems of a Compose file with the line they are in, as compilers show them.

use remuda_compose::{Notice, Position, Problem, SourceFile};

/// Longest part of a line that is shown, characters: wider than most terminals, short enough for any file.
const SHOWN_MAX_CHARS: usize = 100;

/// Every problem with its line; `files` are those that were loaded.
pub fn problems(problems: &[Problem], files: &[SourceFile]) -> String {
    let one = |problem: &Problem| format!("error: {problem}\n{}", excerpt(&problem.at, files));
    problems.iter().map(one).collect()
}

/// Notices in one line each.
pub fn notices(notices: &[Notice]) -> String {
    notices.iter().map(|notice| format!("note: {notice}\n")).collect()
}

/// The line, and marks below what is meant; nothing when the file is not at hand.
fn excerpt(at: &Position, files: &[SourceFile]) -> String {
    let text = files.iter().find(|file| *file.path == *at.file).map(|file| file.text.as_str());
    let Some((before, after)) = text.and_then(|text| text.split_at_checked(at.offset_bytes)) else {
        return String::new();
    };
    let before = before.rsplit(['\n', '\r']).next().unwrap_or_default();
    let after = after.split(['\n', '\r']).next().unwrap_or_default();
    let marked = after.get(..at.len_bytes).unwrap_or(after).chars().count().max(1);
    let (before, after) = window(before, after);
    let blank: String = before.chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    let marks = "^".repeat(marked.min(after.chars().count().max(1)));
    let number = at.line.to_string();
    let gutter = " ".repeat(number.len());
    format!(" {gutter} |\n {number} | {}{}\n {gutter} | {blank}{marks}\n", plain(&before), plain(&after))
}

/// Cuts a long line to what is near the place.
fn window(before: &str, after: &str) -> (String, String) {
    let skipped = before.chars().count().saturating_sub(SHOWN_MAX_CHARS / 2);
    let mark = if skipped > 0 { "…" } else { "" };
    let before: String = mark.chars().chain(before.chars().skip(skipped)).collect();
    let room = SHOWN_MAX_CHARS - before.chars().count().min(SHOWN_MAX_CHARS);
    let cut = if after.chars().count() > room { "…" } else { "" };
    (before, after.chars().take(room).chain(cut.chars()).collect())
}

/// A file may hold anything; a terminal must not be told what to do by it.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { '\u{FFFD}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "services:\n  web:\n    ports: [\"70000:80\"]\n";

    fn problem(line: u32, offset_bytes: usize, len_bytes: usize) -> Problem {
        let at = Position { file: "c.yaml".into(), line, column: 13, offset_bytes, len_bytes };
        Problem { at, field: "services.web.ports[0]".into(), message: "port 70000 is too large".into() }
    }

    fn shown(problem: Problem, text: &str) -> String {
        problems(&[problem], &[SourceFile { path: "c.yaml".into(), text: text.into() }])
    }

    #[test]
    fn a_problem_shows_place_line_and_mark() {
        let at = TEXT.find("\"70000").unwrap();
        let expected = "error: c.yaml:3:13: services.web.ports[0]: port 70000 is too large
   |
 3 |     ports: [\"70000:80\"]
   |             ^^^^^^^^^^
";
        assert_eq!(shown(problem(3, at, 10), TEXT), expected);
    }

    #[test]
    fn a_place_at_the_end_of_the_file_or_beyond_is_no_trouble() {
        assert!(shown(problem(4, TEXT.len(), 0), TEXT).ends_with("| ^\n"));
        assert_eq!(shown(problem(4, TEXT.len() + 9, 1), TEXT).lines().count(), 1);
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let text = format!("{}X{}", "a".repeat(5_000), "b".repeat(5_000));
        let shown = shown(problem(1, 5_000, 1), &text);
        let line = shown.lines().nth(2).unwrap();
        assert!(line.chars().count() < SHOWN_MAX_CHARS + 10 && line.contains("aXb"), "{line}");
        assert_eq!(shown.lines().nth(3).unwrap().find('^'), line.find('X').map(|at| at - '…'.len_utf8() + 1));
    }

    #[test]
    fn control_characters_of_a_file_do_not_reach_the_terminal() {
        assert!(!shown(problem(1, 0, 1), "a\u{1b}[2Jb").contains('\u{1b}'));
    }
}
