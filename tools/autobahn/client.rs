//! The client under test for Autobahn's fuzzing server: hoga's `ws` over a plain socket, echoing each message.
//!
//! usage: autobahn PORT AGENT
//!
//! Prints the number of cases. `tools/autobahn/run.sh` starts it.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::time::Duration;

use hoga::ws::{
    CloseCode, FrameReader, Handshake, Incoming, Limits, Progress, ReceiveBuffer, write_binary, write_close,
    write_pong, write_text,
};
use hoga_testing::Rng;

/// The largest messages have 16 MiB, and the most fragments are 65536.
const LIMITS: Limits = Limits { max_message: 32 << 20, max_fragments: 1 << 17 };
/// A case that takes longer than this between two reads has failed.
const PATIENCE: Duration = Duration::from_secs(60);

struct Client {
    socket: TcpStream,
    buffer: ReceiveBuffer,
    frames: FrameReader,
    rng: Rng,
    /// The last text.
    text: String,
}

impl Client {
    fn open(port: u16, path: &str, rng: Rng) -> Result<Self, Box<dyn Error>> {
        let mut rng = rng;
        let mut key = [0; 16];
        rng.fill(&mut key);
        let (mut handshake, request) = Handshake::start("127.0.0.1", port, path, false, &[], key)?;
        let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.write_all(&request)?;
        let mut buffer = ReceiveBuffer::new(64 * 1024);
        while handshake.handle(&mut buffer)? == Progress::NeedMore {
            if receive(&mut socket, &mut buffer)? == 0 {
                return Err(handshake.handle_eof(&mut buffer).into());
            }
        }
        Ok(Self { socket, buffer, frames: FrameReader::new(LIMITS), rng, text: String::new() })
    }

    /// Echoes messages until the connection ends. Returns the last text.
    fn echo(mut self) -> io::Result<String> {
        let mut out = Vec::new();
        loop {
            let is_open = self.answer(&mut out);
            // A server that has ended the connection does not read the answer.
            let sent = self.socket.write_all(&out);
            out.clear();
            if !is_open || sent.is_err() {
                break;
            }
            if receive(&mut self.socket, &mut self.buffer)? == 0 {
                return Ok(self.text);
            }
        }
        // Unread bytes would reset the connection, and the server could lose our close frame.
        let _ = self.socket.shutdown(Shutdown::Write);
        while receive(&mut self.socket, &mut self.buffer).is_ok_and(|n| n > 0) {
            while let Ok(Some(_)) = self.frames.next(&mut self.buffer) {}
        }
        Ok(self.text)
    }

    /// Answers everything that has arrived. Returns false if the WebSocket has ended.
    fn answer(&mut self, out: &mut Vec<u8>) -> bool {
        loop {
            let mut mask = [0; 4];
            self.rng.fill(&mut mask);
            match self.frames.next(&mut self.buffer) {
                Ok(None) => return true,
                Ok(Some(Incoming::Text(payload))) => {
                    // The reader has checked it.
                    self.text = String::from_utf8_lossy(payload.bytes()).into_owned();
                    write_text(out, &self.text, mask);
                }
                Ok(Some(Incoming::Binary(payload))) => write_binary(out, payload.bytes(), mask),
                Ok(Some(Incoming::Ping(payload))) => write_pong(out, payload, mask),
                Ok(Some(Incoming::Pong(_))) => {}
                Ok(Some(Incoming::Close(close))) => {
                    write_close(out, close.map(|(code, _): (CloseCode, _)| (code, "")), mask);
                    return false;
                }
                Err(violation) => {
                    write_close(out, Some((violation.close_code(), "")), mask);
                    return false;
                }
            }
        }
    }
}

fn receive(socket: &mut TcpStream, buffer: &mut ReceiveBuffer) -> io::Result<usize> {
    let n = socket.read(buffer.spare())?;
    buffer.advance(n);
    Ok(n)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(port), Some(agent)) = (args.next(), args.next()) else { return Err("usage: autobahn PORT AGENT".into()) };
    let port = port.parse()?;
    let mut seed = 0;
    let mut open = |path: &str| {
        seed += 1;
        Client::open(port, path, Rng::new(seed))
    };
    let count: u32 = open("/getCaseCount")?.echo()?.parse()?;
    for case in 1..=count {
        // A connection that the server breaks is part of some cases. The report has the verdict.
        let _ = open(&format!("/runCase?case={case}&agent={agent}"))?.echo();
    }
    open(&format!("/updateReports?agent={agent}"))?.echo()?;
    println!("{count}");
    Ok(())
}
