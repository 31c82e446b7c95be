//! The API: one page that says how many came, who served, and whom the front saw.

use std::io::{BufRead, BufReader, Error, ErrorKind, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

const ADDRESS: &str = "0.0.0.0:8000";
/// A visitor or a Redis that says nothing for this long is let go.
const PATIENCE: Duration = Duration::from_secs(5);
/// Request lines and headers beyond this are not for us.
const HEADER_LIMIT: usize = 100;

/// Serves until the process ends; one thread per connection, which nginx keeps few.
pub fn serve() -> Result<()> {
    let listener = TcpListener::bind(ADDRESS)?;
    println!("api on {ADDRESS}");
    for connection in listener.incoming() {
        let connection = connection?;
        std::thread::spawn(move || answer(connection).unwrap_or_else(|error| eprintln!("a visit failed: {error}")));
    }
    Ok(())
}

fn answer(mut connection: TcpStream) -> Result<()> {
    connection.set_read_timeout(Some(PATIENCE))?;
    let headers = headers(&connection)?;
    let header = |name: &str| headers.iter().find_map(|line| line.strip_prefix(name)).unwrap_or("nobody").trim();
    let (status, body) = match count_visit() {
        Ok(visits) => ("200 OK", page(visits, header("x-web:"), header("x-client:"))),
        Err(error) => ("503 Service Unavailable", format!("the shop's store does not answer: {error}\n")),
    };
    write!(connection, "HTTP/1.0 {status}\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn headers(connection: &TcpStream) -> Result<Vec<String>> {
    let lines = BufReader::new(connection).lines().take(HEADER_LIMIT);
    let lines = lines.take_while(|line| line.as_ref().is_ok_and(|line| !line.is_empty()));
    lines.map(|line| line.map(|line| line.to_ascii_lowercase())).collect()
}

fn page(visits: u64, web: &str, client: &str) -> String {
    format!("<h1>The shop</h1>\n<p>visit {visits} from {client}, through {web}, {}, Redis</p>\n", crate::hostname())
}

/// `INCR visits`, in Redis' own words (RESP).
fn count_visit() -> Result<u64> {
    let store = std::env::var("REDIS").unwrap_or_else(|_| "redis:6379".into());
    let mut redis = TcpStream::connect(store)?;
    redis.set_read_timeout(Some(PATIENCE))?;
    redis.write_all(b"*2\r\n$4\r\nINCR\r\n$6\r\nvisits\r\n")?;
    let mut reply = String::new();
    BufReader::new(redis).read_line(&mut reply)?;
    let number = reply.trim().strip_prefix(':').and_then(|number| number.parse().ok());
    number.ok_or_else(|| Error::new(ErrorKind::InvalidData, format!("Redis said {reply:?}")))
}
