//! What a command in a container and the person at this end say to each other: one WebSocket message per piece, the
//! first byte names the stream (orchestrator `http` module, "Exec").

use std::io::Error as IoError;
use std::sync::Arc;

use bytes::Bytes;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::AUTHORIZATION;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::client::{Client, problem_of};
use crate::failure::{Context, Failure};
use crate::terminal::Size;
use crate::{fault, tls};

pub type Socket = WebSocketStream<TlsStream<TcpStream>>;

/// One message, either way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    Stdin(Bytes),
    Stdout(Bytes),
    Stderr(Bytes),
    /// The last one: how the command ended.
    Exit(i32),
    Resize(Size),
    /// The last one: why there is nothing to give.
    Error(String),
    StdinEnd,
}

impl Piece {
    pub fn encode(&self) -> Vec<u8> {
        let (stream, data): (u8, Vec<u8>) = match self {
            Self::Stdin(data) => (0, data.to_vec()),
            Self::Stdout(data) => (1, data.to_vec()),
            Self::Stderr(data) => (2, data.to_vec()),
            Self::Exit(code) => (3, code.to_be_bytes().to_vec()),
            Self::Resize(size) => (4, [size.rows.to_be_bytes(), size.columns.to_be_bytes()].concat()),
            Self::Error(text) => (5, text.clone().into_bytes()),
            Self::StdinEnd => (6, Vec::new()),
        };
        [vec![stream], data].concat()
    }

    /// None = a stream of a later version, or a piece too short for its kind.
    pub fn decode(message: Bytes) -> Option<Self> {
        let data = message.slice(1.min(message.len())..);
        match message.first()? {
            0 => Some(Self::Stdin(data)),
            1 => Some(Self::Stdout(data)),
            2 => Some(Self::Stderr(data)),
            3 => Some(Self::Exit(i32::from_be_bytes(data.as_ref().try_into().ok()?))),
            4 => {
                let [rows_high, rows_low, columns_high, columns_low] = data.as_ref().try_into().ok()?;
                let rows = u16::from_be_bytes([rows_high, rows_low]);
                Some(Self::Resize(Size { rows, columns: u16::from_be_bytes([columns_high, columns_low]) }))
            }
            5 => Some(Self::Error(String::from_utf8_lossy(&data).into_owned())),
            6 => Some(Self::StdinEnd),
            _ => None,
        }
    }

    pub fn message(&self) -> Message {
        Message::binary(self.encode())
    }
}

/// Opens the WebSocket at `url`, with the same CA and key as every other request.
pub async fn open(client: &Client, url: &reqwest::Url) -> Result<Socket, Failure> {
    let stream = connect(client, url).await?;
    let mut address = url.clone();
    // Ours are https by construction, so the scheme is there to be changed.
    let _ = address.set_scheme("wss");
    let mut request = address.as_str().into_client_request().cannot("ask for a session")?;
    let bearer = HeaderValue::from_str(&format!("Bearer {}", client.connection.key)).cannot("use the API key")?;
    request.headers_mut().insert(AUTHORIZATION, bearer);
    match client_async(request, stream).await {
        Ok((socket, _)) => Ok(socket),
        Err(WsError::Http(answer)) => {
            let problem = problem_of(answer.status(), answer.body().as_deref().unwrap_or_default());
            Err(fault::refused(&client.connection, url.path(), &problem))
        }
        Err(error) => Err(fault::transport(&client.connection, &error)),
    }
}

async fn connect(client: &Client, url: &reqwest::Url) -> Result<TlsStream<TcpStream>, Failure> {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let port = url.port_or_known_default().unwrap_or(443);
    let failed = |error: IoError| fault::transport(&client.connection, &error);
    let tcp = TcpStream::connect((host, port)).await.map_err(failed)?;
    tcp.set_nodelay(true).map_err(failed)?;
    let name = ServerName::try_from(host.to_owned()).cannot(format!("use {host} as a server's name"))?;
    let config = tls::client_config(&client.connection)?;
    TlsConnector::from(Arc::new(config)).connect(name, tcp).await.map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_survives_the_wire() {
        let pieces = [
            Piece::Stdin(Bytes::from_static(b"a\0b")),
            Piece::Stdout(Bytes::new()),
            Piece::Stderr(Bytes::from_static(b"x")),
            Piece::Exit(-1),
            Piece::Resize(Size { rows: 24, columns: 300 }),
            Piece::Error("no such container".into()),
            Piece::StdinEnd,
        ];
        for piece in pieces {
            assert_eq!(Piece::decode(piece.encode().into()), Some(piece));
        }
    }

    #[test]
    fn numbers_are_big_endian() {
        assert_eq!(Piece::Exit(2).encode(), [3, 0, 0, 0, 2]);
        assert_eq!(Piece::Resize(Size { rows: 1, columns: 258 }).encode(), [4, 0, 1, 1, 2]);
    }

    #[test]
    fn short_or_unknown_pieces_are_none() {
        for message in [&b""[..], b"\x03\0\0", b"\x04\0", b"\x09x"] {
            assert_eq!(Piece::decode(Bytes::copy_from_slice(message)), None);
        }
    }
}
