//! Listings: a table for people, an array with exactly the contract's fields for programs.

use std::io::{IsTerminal, Write};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::failure::{Context, Failure};

/// `-o`, on every listing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    #[default]
    Table,
    /// More columns, nothing cut.
    Wide,
    /// An array of objects.
    Json,
}

#[derive(Clone, Copy, Debug, clap::Args)]
pub struct OutputArgs {
    /// How to print it
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

/// Something that is listed: one row each.
pub trait Row: Serialize {
    const COLUMNS: &'static [&'static str];
    /// Columns that `-o wide` adds.
    const WIDE: &'static [&'static str];
    /// Fields that the API has beyond the listing's contract (DESIGN.md section 5); `inspect` shows them.
    const BEYOND: &'static [&'static str] = &[];
    /// As many cells as there are columns, the wide ones last; several lines in one only where `is_wide`.
    fn cells(&self, is_wide: bool) -> Vec<String>;
}

pub fn print<R: Row>(rows: &[R], format: Format) -> Result<(), Failure> {
    let text = match format {
        Format::Json => json(&contract(rows)?)?,
        Format::Wide => table(rows, true, None),
        Format::Table => table(rows, false, terminal_columns()),
    };
    out(&text)
}

/// The rows with exactly the contract's fields.
fn contract<R: Row>(rows: &[R]) -> Result<Vec<serde_json::Value>, Failure> {
    let of = |row: &R| {
        let mut value = serde_json::to_value(row).cannot("print JSON")?;
        if let Some(object) = value.as_object_mut() {
            object.retain(|field, _| !R::BEYOND.contains(&field.as_str()));
        }
        Ok(value)
    };
    rows.iter().map(of).collect()
}

/// Pretty JSON with a newline at its end.
pub fn json(value: &impl Serialize) -> Result<String, Failure> {
    let mut text = serde_json::to_string_pretty(value).cannot("print JSON")?;
    text.push('\n');
    Ok(text)
}

/// Writes to standard output; whoever closed it wanted no more.
pub fn out(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).cannot("write to standard output")
}

/// `columns` None = as wide as it gets.
fn table<R: Row>(rows: &[R], is_wide: bool, columns: Option<u16>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).force_no_tty();
    if let Some(columns) = columns {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(columns);
    }
    let wide = if is_wide { R::WIDE } else { &[] };
    let width = R::COLUMNS.len() + wide.len();
    table.set_header(R::COLUMNS.iter().chain(wide).copied());
    for row in rows {
        table.add_row(row.cells(is_wide).into_iter().take(width));
    }
    let count = table.column_count();
    for column in 0..count {
        if let Some(column) = table.column_mut(column) {
            column.set_padding((0, 2));
        }
    }
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

fn terminal_columns() -> Option<u16> {
    std::io::stdout().is_terminal().then(|| crate::terminal::size().map(|size| size.columns)).flatten()
}

/// A cell for something that may not exist.
pub fn or_dash(value: &Option<impl ToString>) -> String {
    value.as_ref().map_or_else(|| "-".into(), ToString::to_string)
}

/// Text from a host or a container, fit for a terminal: one line or many, no colours, no control characters.
pub fn plain(text: &str) -> String {
    text.lines().map(plain_line).collect::<Vec<_>>().join("\n")
}

/// Without control sequences (ECMA-48, 5.4: ESC `[`, parameters, one final byte); other controls become blanks.
fn plain_line(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' && chars.next_if_eq(&'[').is_some() {
            chars.by_ref().find(|c| ('@'..='~').contains(c));
        } else {
            plain.push(if c.is_control() { ' ' } else { c });
        }
    }
    plain.trim_end().to_owned()
}

/// Its first line, with `…` where there are more.
pub fn first_line(text: &str) -> String {
    let text = plain(text);
    match text.trim().split_once('\n') {
        Some((first, _)) => format!("{} …", first.trim_end()),
        None => text.trim().to_owned(),
    }
}

/// What a container wrote last, if `reason` has it: the lines below its `last lines:`.
pub fn last_lines(reason: &str) -> Vec<String> {
    let text = plain(reason);
    text.lines().skip_while(|line| *line != "last lines:").skip(1).map(str::to_owned).collect()
}

/// The contract's own word for a state: what serde writes.
pub fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Horse {
        name: &'static str,
        legs: u8,
    }

    impl Row for Horse {
        const COLUMNS: &'static [&'static str] = &["NAME"];
        const WIDE: &'static [&'static str] = &["LEGS"];
        fn cells(&self, _is_wide: bool) -> Vec<String> {
            vec![self.name.into(), self.legs.to_string()]
        }
    }

    const HERD: [Horse; 2] = [Horse { name: "ed", legs: 4 }, Horse { name: "black beauty", legs: 4 }];

    #[test]
    fn a_table_has_a_header_and_no_lines() {
        assert_eq!(table(&HERD, false, None), "NAME\ned\nblack beauty\n");
    }

    #[test]
    fn wide_adds_columns() {
        assert_eq!(table(&HERD, true, None), "NAME          LEGS\ned            4\nblack beauty  4\n");
    }

    #[test]
    fn a_narrow_terminal_wraps_instead_of_losing_text() {
        let text = table(&HERD, false, Some(8));
        assert!(text.contains("black") && text.contains("beauty") && text.lines().count() == 4, "{text}");
    }

    #[test]
    fn an_empty_listing_is_a_header_or_an_empty_array() {
        assert_eq!(table::<Horse>(&[], false, None), "NAME\n");
        assert_eq!(json(&Vec::<Horse>::new()).unwrap(), "[]\n");
    }

    #[test]
    fn what_others_wrote_cannot_reach_the_terminal() {
        assert_eq!(plain("a\x1b[1;31mb\x1b[0m\tc\r\nd\x07  \n\x1b"), "ab c\nd\n");
        assert_eq!(plain("\x1b[31"), "", "a sequence that does not end");
        assert_eq!(first_line("exited with code 3\nlast words\nmore"), "exited with code 3 …");
        assert_eq!(first_line("one\n"), "one");
    }

    #[test]
    fn states_print_in_the_contracts_words() {
        assert_eq!(word(&remuda_api::resource::HostState::ControlLost), "control-lost");
    }
}
