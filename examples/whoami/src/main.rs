//! `whoami`: one static program that stands in for any service. It answers who it is, where it runs and what it was asked.
//!
//! `whoami [PORT]` (or `PORT` in the environment, else 80) answers on TCP:
//! - HTTP: `/health` 200; `/exit/N` 200, then ends with code N; anything else 200 and a page of what it knows;
//! - any other line: `NAME CLIENT`, as often as asked on one connection.
//!
//! SIGTERM lets answers finish, then ends with 0. For trying what goes wrong: `whoami --exit N WORDS…` says the words and
//! ends at once; `whoami --terminal` says whether it has one, and repeats a line.

mod page;
mod stop;

use std::io::{BufRead, BufReader, IsTerminal, Read, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::process::exit;
use std::thread;
use std::time::Duration;

const DEFAULT_PORT: u16 = 80;
/// A client that says nothing for longer is gone.
const PATIENCE: Duration = Duration::from_secs(600);
/// Longer lines are somebody's mistake.
const LINE_LIMIT_BYTES: u64 = 8192;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let first = words.first().map(String::as_str).unwrap_or_default();
    let ended = match first {
        "--exit" => exit_at_once(&words[1..]),
        "--terminal" => terminal(),
        port => serve(if port.is_empty() { std::env::var("PORT").ok() } else { Some(port.to_owned()) }),
    };
    if let Err(error) = ended {
        eprintln!("whoami: {error}");
        exit(1);
    }
}

fn exit_at_once(words: &[String]) -> Result<()> {
    let code = words.first().and_then(|code| code.parse().ok()).unwrap_or(1);
    words.iter().skip(1).for_each(|word| eprintln!("{word}"));
    exit(code)
}

fn terminal() -> Result<()> {
    println!("{}", if std::io::stdin().is_terminal() { "a terminal" } else { "no terminal" });
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    println!("heard {}", line.trim());
    Ok(())
}

/// Until SIGTERM.
fn serve(port: Option<String>) -> Result<()> {
    let port = port.and_then(|port| port.parse().ok()).unwrap_or(DEFAULT_PORT);
    // Before any other thread, so that all of them inherit what is blocked.
    stop::block();
    let listener = TcpListener::bind(("0.0.0.0", port))?;
    let name = page::host_name();
    println!("{name} serves port {port}; its engine's socket is {}", page::engine_socket());
    thread::spawn(|| {
        stop::wait();
        println!("asked to stop");
        stop::let_answers_finish();
        exit(0);
    });
    for stream in listener.incoming().flatten() {
        let name = name.clone();
        // A client that breaks off is no failure of ours.
        thread::spawn(move || drop(answer(stream, &name)));
    }
    Ok(())
}

fn answer(mut stream: TcpStream, name: &str) -> Result<()> {
    let client = stream.peer_addr()?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut lines = BufReader::new(stream.try_clone()?);
    loop {
        let Some(line) = read_line(&mut lines)? else { return Ok(()) };
        let _busy = stop::Busy::begin();
        let words: Vec<&str> = line.split_whitespace().collect();
        let [method, path, version @ ("HTTP/1.0" | "HTTP/1.1")] = words[..] else {
            stream.write_all(format!("{name} {client}\n").as_bytes())?;
            continue;
        };
        println!("{client} {line}");
        let head = read_head(&mut lines)?;
        let is_last = version == "HTTP/1.0" || head.iter().any(|line| line.eq_ignore_ascii_case("connection: close"));
        let body = if path == "/health" { "ok\n".into() } else { page::page(&client, &line, &head) };
        let length = body.len();
        let kind = "Content-Type: text/plain; charset=utf-8";
        write!(stream, "{version} 200 OK\r\n{kind}\r\nContent-Length: {length}\r\n\r\n")?;
        stream.write_all(if method == "HEAD" { b"" } else { body.as_bytes() })?;
        if let Some(code) = path.strip_prefix("/exit/").and_then(|code| code.parse().ok()) {
            println!("asked to end with {code}");
            exit(code);
        }
        if is_last {
            return Ok(());
        }
    }
}

/// One line without its end; `None` when the client has closed.
fn read_line(from: &mut impl BufRead) -> Result<Option<String>> {
    let mut line = String::new();
    let read = from.by_ref().take(LINE_LIMIT_BYTES).read_line(&mut line)?;
    Ok((read > 0).then(|| line.trim_end().to_owned()))
}

/// Header lines up to the empty one.
fn read_head(from: &mut impl BufRead) -> Result<Vec<String>> {
    let mut head = Vec::new();
    while let Some(line) = read_line(from)?.filter(|line| !line.is_empty()) {
        head.push(line);
    }
    Ok(head)
}
