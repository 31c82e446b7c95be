//! `remuda man`: manual pages of every command, from the same words as its help.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::CommandFactory;
use clap_mangen::Man;

use crate::arguments::Cli;
use crate::failure::{Context, Failure, Outcome};
use crate::listing::out;

#[derive(clap::Args)]
pub struct Args {
    /// Write one page for each command here, remuda.1, remuda-up.1, …; without it the first goes to standard output
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub fn run(args: Args) -> Outcome {
    let pages = pages();
    match &args.dir {
        Some(dir) => write(dir, &pages)?,
        None => out(pages.first().map(|page| page.text.as_str()).unwrap_or_default())?,
    }
    Ok(ExitCode::SUCCESS)
}

struct Page {
    /// `remuda-stack-deploy.1`.
    file: String,
    text: String,
}

fn write(dir: &Path, pages: &[Page]) -> Result<(), Failure> {
    std::fs::create_dir_all(dir).cannot(format!("make {}", dir.display()))?;
    for page in pages {
        let path = dir.join(&page.file);
        std::fs::write(&path, &page.text).cannot(format!("write {}", path.display()))?;
    }
    out(&format!("{} pages in {}\n", pages.len(), dir.display()))
}

/// Every command that people type, the first one first.
fn pages() -> Vec<Page> {
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    let mut pages = Vec::new();
    collect(&root, &[], &mut pages);
    pages
}

fn collect(command: &clap::Command, above: &[&str], pages: &mut Vec<Page>) {
    let words: Vec<&str> = above.iter().copied().chain([command.get_name()]).collect();
    pages.push(Page { file: format!("{}.1", words.join("-")), text: page(command, &words) });
    for below in shown(command) {
        collect(below, &words, pages);
    }
}

fn shown(command: &clap::Command) -> impl Iterator<Item = &clap::Command> {
    command.get_subcommands().filter(|below| !below.is_hide_set() && below.get_name() != "help")
}

/// What clap_mangen writes, and what it does not: commands below with their pages, examples line by line.
fn page(command: &clap::Command, words: &[&str]) -> String {
    let name = words.join("-");
    let bare = command.clone().name(name.clone()).bin_name(words.join(" ")).display_name(name.clone());
    let man = Man::new(bare);
    // The date stays empty, so that a page is the same whenever it is written.
    let version = env!("CARGO_PKG_VERSION");
    let title = format!(".TH \"{}\" \"1\" \"\" \"remuda {version}\" \"Remuda\"\n", name.to_uppercase());
    let mut bytes = title.into_bytes();
    let rendered = man
        .render_name_section(&mut bytes)
        .and_then(|()| man.render_synopsis_section(&mut bytes))
        .and_then(|()| man.render_description_section(&mut bytes))
        .and_then(|()| man.render_options_section(&mut bytes));
    debug_assert!(rendered.is_ok(), "nothing fails when written to memory: {rendered:?}");
    // A line break beside an empty line is one too many (man(7)).
    let mut text = String::from_utf8_lossy(&bytes).replace(".br\n\n.br\n", ".sp\n");
    text.push_str(&commands(command, &name));
    let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    text.push_str(&examples_section(&examples));
    text
}

fn commands(command: &clap::Command, name: &str) -> String {
    let entries: String = shown(command)
        .map(|below| {
            let about = below.get_about().map(ToString::to_string).unwrap_or_default();
            format!(".TP\n\\fB{}\\fR(1)\n{}\n", escape(&format!("{name}-{}", below.get_name())), escape(&about))
        })
        .collect();
    if entries.is_empty() { entries } else { format!(".SH COMMANDS\n{entries}") }
}

/// As they stand in the help: a block of examples line by line, sentences after it as they are.
fn examples_section(text: &str) -> String {
    let lines = text.trim().strip_prefix("Examples:").unwrap_or(text).trim_matches('\n');
    let lines: String =
        lines.lines().map(|line| format!("{}\n", escape(line.strip_prefix("  ").unwrap_or(line)))).collect();
    if lines.is_empty() { lines } else { format!(".SH EXAMPLES\n.nf\n{lines}.fi\n") }
}

/// Text that roff prints as it is: no line is a request, no hyphen turns into a dash (groff_man(7)).
fn escape(text: &str) -> String {
    let escaped = text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq").replace('`', "\\(ga");
    match escaped.starts_with('.') {
        true => format!("\\&{escaped}"),
        // An empty line would end the paragraph in fill mode; here it only asks for one.
        false => escaped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_with_its_examples_and_its_commands() {
        let pages = pages();
        assert_eq!(pages.first().map(|page| page.file.as_str()), Some("remuda.1"));
        for page in &pages {
            assert!(page.text.contains(".SH EXAMPLES\n.nf\n"), "{} has no examples", page.file);
        }
        let text = |file: &str| &pages.iter().find(|page| page.file == file).expect(file).text;
        assert!(text("remuda-stack.1").contains("\\fBremuda\\-stack\\-deploy\\fR(1)\nRun a stack"));
        assert!(text("remuda-stack-deploy.1").contains("remuda stack deploy \\-c docker\\-compose.yml shop\n"));
        assert!(pages.iter().all(|page| page.file != "remuda-hold.1"), "nobody types it");
    }

    #[test]
    fn text_is_printed_as_it_is() {
        assert_eq!(escape(".dot 'quoted' --flag \\n"), "\\&.dot \\(aqquoted\\(aq \\-\\-flag \\en");
    }
}
