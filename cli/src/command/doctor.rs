//! `remuda doctor`: what would stop or slow us on this host, each with its cure.

use std::path::PathBuf;
use std::process::ExitCode;

use ipnetwork::Ipv4Network;
use remuda_agent::AssignmentSource;
use remuda_agent::doctor::{Finding, Verdict, judge, look};

use super::agent::HostArgs;
use crate::failure::{Context, Failure, Outcome};
use crate::listing::{json, out, plain};

pub const EXAMPLES: &str = "Examples:
  sudo remuda doctor                     what needs a look on this host, each with its cure
  sudo remuda doctor --verbose           also what is well
  remuda doctor -o json | jq -r '.[] | select(.verdict == \"fail\") | .cure'
  sudo remuda doctor && remuda agent --server 192.0.2.1:8443 --token-file token

It changes nothing and asks no server. Exit code 1 when something fails, 0 when there are only warnings.";

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    host: HostArgs,
    /// The agent's data directory, where one runs
    #[arg(long, value_name = "DIR", default_value = "/var/lib/remuda/agent")]
    data_dir: PathBuf,
    /// Addresses the fleet's containers and services have, as its server was told; may be repeated
    #[arg(long = "pool", value_name = "CIDR", default_values = ["10.42.0.0/16", "10.43.0.0/16"])]
    pools: Vec<Ipv4Network>,
    /// Show also what is well
    #[arg(short, long)]
    verbose: bool,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// One line a check, its cure below
    #[default]
    Text,
    /// An array with every check
    Json,
}

pub fn run(args: Args) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().cannot("start")?;
    // The name says nothing about the host's health, and one that no fleet takes is said when joining.
    let host = HostArgs { name: args.host.name.clone().or_else(|| Some("this-host".into())), ..args.host.clone() };
    let options = host.options(args.data_dir.clone(), AssignmentSource::File(PathBuf::new()))?;
    let facts = runtime.block_on(look::look(&options, &args.pools));
    runtime.shutdown_background();
    show(&judge(&facts), &args)
}

fn show(findings: &[Finding], args: &Args) -> Outcome {
    match args.output {
        Format::Json => out(&json(&findings)?)?,
        Format::Text => out(&text(findings, args.verbose))?,
    }
    match findings.iter().any(|found| found.verdict == Verdict::Fail) {
        true if args.output == Format::Json => Ok(ExitCode::FAILURE),
        true => Err(Failure::shown()),
        false => Ok(ExitCode::SUCCESS),
    }
}

/// Warnings and failures in the order of the checks, and a line that counts.
fn text(findings: &[Finding], is_verbose: bool) -> String {
    let shown = findings.iter().filter(|found| is_verbose || found.verdict != Verdict::Ok);
    let mut text: String = shown.map(line).collect();
    let count = |verdict| findings.iter().filter(|found| found.verdict == verdict).count();
    let (ok, warn, fail) = (count(Verdict::Ok), count(Verdict::Warn), count(Verdict::Fail));
    let more = if is_verbose || ok == 0 { "" } else { " (--verbose shows them)" };
    text.push_str(&format!("{fail} failed, {warn} warnings, {ok} ok{more}\n"));
    text
}

fn line(found: &Finding) -> String {
    let word = match found.verdict {
        Verdict::Ok => "ok",
        Verdict::Warn => "warn",
        Verdict::Fail => "fail",
    };
    let name = format!("{} {}", found.section, found.check);
    let cure = found.cure.iter().map(|cure| format!("      cure: {}\n", plain(cure))).collect::<String>();
    format!("{word:4}  {name}: {}\n{cure}", plain(&found.message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_well_shows_only_when_asked_for_and_is_counted() {
        let found = |check, verdict, cure: Option<&str>| Finding {
            section: "kernel",
            check,
            verdict,
            message: "so".into(),
            cure: cure.map(Into::into),
        };
        let findings = [
            found("root", Verdict::Ok, None),
            found("btf", Verdict::Fail, Some("boot another")),
            found("jit", Verdict::Warn, Some("turn it on")),
        ];
        let bad = "fail  kernel btf: so\n      cure: boot another\nwarn  kernel jit: so\n      cure: turn it on\n";
        assert_eq!(text(&findings, false), format!("{bad}1 failed, 1 warnings, 1 ok (--verbose shows them)\n"));
        assert_eq!(text(&findings, true), format!("ok    kernel root: so\n{bad}1 failed, 1 warnings, 1 ok\n"));
    }
}
