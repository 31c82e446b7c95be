//! The example stack's own programs, in one binary: `shop api` and `shop echo` serve, the others visit and count.

mod api;
mod echo;
mod lookup;
mod visit;

use std::process::ExitCode;

const USAGE: &str = "usage:
  shop api                      the API on :8000; counts visits in Redis at $REDIS (redis:6379)
  shop echo                     the UDP service on :7000; says who it is and whom it saw
  shop visit HOST:PORT COUNT    COUNT connections, one request each; prints who answered, and as whom we were seen
  shop look-up NAME COUNT       asks the resolver COUNT times; prints which address came first how often
  shop say HOST:PORT TEXT       one datagram; prints the answer";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["api"] => api::serve(),
        ["echo"] => echo::serve(),
        ["visit", to, count] => visit::run(to, count),
        ["look-up", name, count] => lookup::run(name, count),
        ["say", to, text] => echo::say(to, text),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("shop: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What a container is called; its UTS namespace has its name.
fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}
