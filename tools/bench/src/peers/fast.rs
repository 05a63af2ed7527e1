//! fastwebsockets and sonic-rs: the fastest crates for tokio.

use std::io;

use fastwebsockets::{Frame, OpCode, Role, WebSocket};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

use super::authority;
use super::parser::SonicRs;
use super::tokio::{Client, Hub};
use super::update::Update;
use crate::stack::Endpoint;

/// Bytes of one read: as many as hoga reads.
const BUFFER: usize = 64 * 1024;

/// fastwebsockets and sonic-rs.
#[derive(Debug, Clone, Copy)]
pub struct FastWebSockets;

impl Client for FastWebSockets {
    async fn follow<S>(&self, mut socket: S, endpoint: &Endpoint, hub: &Hub) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        upgrade(&mut socket, endpoint).await?;
        // The default buffer has 8 KiB, which takes many system calls for a burst.
        let mut socket = WebSocket::after_handshake(BufReader::with_capacity(BUFFER, socket), Role::Client);
        let request = Frame::text(endpoint.request().into_bytes().into());
        socket.write_frame(request).await.map_err(io::Error::other)?;
        socket.flush().await.map_err(io::Error::other)?;
        loop {
            let frame = socket.read_frame().await.map_err(io::Error::other)?;
            let update = match frame.opcode {
                OpCode::Binary | OpCode::Text => Update::read(&mut SonicRs, &frame.payload),
                OpCode::Close => return Ok(()),
                _ => None,
            };
            update.into_iter().for_each(|update| hub.publish(update));
        }
    }
}

/// Does the opening handshake by hand, because the crate's own needs hyper, which would be compiled only for this. The
/// feeder sends nothing before the request, so no data follows the answer.
async fn upgrade<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut S, endpoint: &Endpoint) -> io::Result<()> {
    let request = format!(
        "GET /websocket/v1 HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        authority(endpoint)
    );
    socket.write_all(request.as_bytes()).await?;
    socket.flush().await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        if socket.read_buf(&mut answer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    if answer.starts_with(b"HTTP/1.1 101 ") { Ok(()) } else { Err(io::Error::other("no WebSocket")) }
}
