//! `remuda exec NAME -- CMD…`: runs a command in a container and ends as it does.

use std::io::{IsTerminal, Read, Write};
use std::process::ExitCode;

use bytes::Bytes;
use futures::StreamExt;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use crate::client::Client;
use crate::failure::{Context, Failure, Outcome};
use crate::name::Known;
use crate::session::{self, Piece, Socket};
use crate::terminal::{self, RawMode, Size};

/// Bytes of input per message.
const INPUT_BYTES: usize = 16 * 1024;
/// Messages of input that wait for the network; the reader waits when they are this many.
const INPUT_WAITING_MAX: usize = 8;

#[derive(clap::Args)]
pub struct Args {
    /// Send what is typed (or piped) here to the command
    #[arg(short, long)]
    interactive: bool,
    /// Give the command a terminal
    #[arg(short, long)]
    tty: bool,
    /// A container, or a service (its first running container), or the beginning of one
    name: String,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    command: Vec<String>,
}

pub async fn run(args: Args, client: &Client) -> Outcome {
    if args.tty && args.interactive && !std::io::stdin().is_terminal() {
        return Err(Failure::usage("-t wants a terminal, and standard input is none").advice("leave -t out"));
    }
    let container = Known::ask(client).await?.container(&args.name)?;
    let size = if args.tty { Some(terminal::size().unwrap_or(Size { rows: 24, columns: 80 })) } else { None };
    let mut url = client.url(&["containers", &container, "exec"])?;
    url.query_pairs_mut().extend_pairs(args.command.iter().map(|word| ("argv", word)));
    if let Some(size) = size {
        url.query_pairs_mut().extend_pairs([("rows", size.rows.to_string()), ("columns", size.columns.to_string())]);
    }
    let socket = session::open(client, &url).await?;
    let _raw = match args.tty && args.interactive {
        true => Some(RawMode::enter().cannot("take over this terminal")?),
        false => None,
    };
    talk(socket, if args.interactive { Some(input()) } else { None }, args.tty).await
}

/// Input, window sizes and interrupts go there; output comes here; until the command ends.
async fn talk(mut socket: Socket, input: Option<mpsc::Receiver<Bytes>>, has_tty: bool) -> Outcome {
    let mut resized = signal(SignalKind::window_change()).cannot("watch the size of this terminal")?;
    let mut input = input;
    if input.is_none() {
        send(&mut socket, Piece::StdinEnd).await?;
    }
    loop {
        let piece = tokio::select! {
            message = socket.next() => match received(message)? {
                Some(piece) => piece,
                None => continue,
            },
            data = next_input(&mut input) => {
                let is_end = data.is_none();
                send(&mut socket, data.map_or(Piece::StdinEnd, Piece::Stdin)).await?;
                if is_end {
                    input = None;
                }
                continue;
            }
            size = next_size(&mut resized, has_tty) => {
                send(&mut socket, Piece::Resize(size)).await?;
                continue;
            }
        };
        if let Some(code) = act_on(piece)? {
            return Ok(code);
        }
    }
}

/// None = nothing for us in it.
fn received(message: Option<Result<Message, tokio_tungstenite::tungstenite::Error>>) -> Result<Option<Piece>, Failure> {
    match message {
        Some(Ok(Message::Binary(data))) => Ok(Piece::decode(data)),
        Some(Ok(Message::Close(_))) | None => Err(Failure::new("the session ended before the command did")
            .advice("is its host still there? `remuda hosts` shows it")),
        Some(Ok(_)) => Ok(None),
        Some(Err(error)) => Err(Failure::new(format!("the session broke: {error}"))),
    }
}

fn act_on(piece: Piece) -> Result<Option<ExitCode>, Failure> {
    match piece {
        Piece::Stdout(data) => write(&mut std::io::stdout().lock(), &data)?,
        Piece::Stderr(data) => write(&mut std::io::stderr().lock(), &data)?,
        Piece::Exit(code) => return Ok(Some(exit_code(code))),
        Piece::Error(text) => return Err(Failure::new(text)),
        Piece::Stdin(_) | Piece::StdinEnd | Piece::Resize(_) => {}
    }
    Ok(None)
}

/// Codes outside 0..=255 (killed by a signal, as negative numbers) become 128 + signal, as in a shell.
fn exit_code(code: i32) -> ExitCode {
    let code = if code < 0 { 128 + code.saturating_neg() } else { code };
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

fn write(to: &mut impl Write, data: &[u8]) -> Result<(), Failure> {
    to.write_all(data).and_then(|()| to.flush()).cannot("write the command's output")
}

async fn send(socket: &mut Socket, piece: Piece) -> Result<(), Failure> {
    futures::SinkExt::send(socket, piece.message()).await.cannot("reach the command")
}

/// Never ready once the input has ended.
async fn next_input(input: &mut Option<mpsc::Receiver<Bytes>>) -> Option<Bytes> {
    match input {
        Some(input) => input.recv().await,
        None => std::future::pending().await,
    }
}

async fn next_size(resized: &mut Signal, has_tty: bool) -> Size {
    loop {
        match has_tty && resized.recv().await.is_some() {
            true => {
                if let Some(size) = terminal::size() {
                    return size;
                }
            }
            false => std::future::pending().await,
        }
    }
}

/// Standard input, read by a thread of its own: a read that waits for a key cannot be called off.
fn input() -> mpsc::Receiver<Bytes> {
    let (sender, receiver) = mpsc::channel(INPUT_WAITING_MAX);
    std::thread::spawn(move || {
        let mut buffer = vec![0; INPUT_BYTES];
        let mut stdin = std::io::stdin().lock();
        while let Ok(count @ 1..) = stdin.read(&mut buffer) {
            if sender.blocking_send(Bytes::copy_from_slice(&buffer[..count])).is_err() {
                return;
            }
        }
    });
    receiver
}
