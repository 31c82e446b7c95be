//! `docs/compose.md` against the key tables: every key has its row, and the row says what becomes of it.

use std::collections::BTreeMap;

use crate::keys::{self, Fate, Inner, Table};

/// Headings of the document, and the table each lists. Keys that are not acted on stand for those below them.
static SECTIONS: [(&str, &Table); 6] = [
    ("## Top level", &keys::FILE),
    ("## Services", &keys::SERVICE),
    ("## Services of Compose 1", &keys::SERVICE_V1),
    ("## Networks", &keys::NETWORK),
    ("## Volumes", &keys::VOLUME),
    ("## `x-remuda`", &keys::X_REMUDA),
];
/// Keys whose inner ones have a section or a document of their own.
const ELSEWHERE: [&str; 6] = ["services", "networks", "volumes", "external", "lb_config", "upgrade_strategy"];
/// Service keys that share a name with a section: theirs are listed.
const LISTED: [&str; 2] = ["networks", "volumes"];

/// What a row says: the fate in a word, and the text of the last column.
type Rows = BTreeMap<String, (String, String)>;

#[test]
fn the_document_says_of_every_key_what_becomes_of_it() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/compose.md");
    let document = std::fs::read_to_string(path).expect("the document is in the checkout");
    let mut differences = Vec::new();
    for (heading, table) in SECTIONS {
        let said = rows_below(&document, heading);
        let mut known = Rows::new();
        collect(table, "", heading, &mut known);
        for (key, (fate, text)) in &known {
            match said.get(key) {
                None => differences.push(format!("{heading}: missing | `{key}` | {fate} | {text} |")),
                Some((said_fate, said_text)) => {
                    let is_told =
                        fate == said_fate && (fate == "acted on" || text == said_text) && !said_text.is_empty();
                    if !is_told {
                        differences.push(format!("{heading}: not so | `{key}` | {fate} | {text} |"));
                    }
                }
            }
        }
        differences
            .extend(said.keys().filter(|key| !known.contains_key(*key)).map(|key| format!("{heading}: no key {key}")));
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

fn collect(table: &Table, prefix: &str, heading: &str, rows: &mut Rows) {
    for key in table.keys {
        let path = format!("{prefix}{}", key.name);
        let (fate, text) = match key.fate {
            Fate::Acted => ("acted on", ""),
            Fate::Noticed(meaning) => ("noticed", meaning),
            Fate::Refused(reason) => ("refused", reason),
        };
        rows.insert(path.clone(), (fate.to_owned(), text.to_owned()));
        let is_listed = heading == "## Services" && LISTED.contains(&key.name) && prefix.is_empty();
        let is_elsewhere = (ELSEWHERE.contains(&key.name) && !is_listed) || heading == "## Services of Compose 1";
        if let (Fate::Acted, Inner::Map(inner) | Inner::List(inner) | Inner::Named(inner), false) =
            (key.fate, key.inner, is_elsewhere)
        {
            collect(inner, &format!("{path}."), heading, rows);
        }
    }
}

/// The rows `| `key` | fate | text |` between `heading` and the next one.
fn rows_below(document: &str, heading: &str) -> Rows {
    let lines = document.lines().skip_while(|line| *line != heading).skip(1);
    let lines = lines.take_while(|line| !line.starts_with("## "));
    let rows = lines.filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        let key = cells.next()?.strip_suffix('`')?;
        let fate = cells.next()?;
        let text = cells.collect::<Vec<_>>().join(" | ");
        Some((key.to_owned(), (fate.to_owned(), text.trim_end_matches('|').trim_end().to_owned())))
    });
    rows.collect()
}
