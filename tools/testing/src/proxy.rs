//! A proxy on a loopback port, for HTTP CONNECT and SOCKS5. It connects to loopback regardless of the name.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// The user name that a proxy with a login accepts.
pub const USER: &str = "canary-user";
/// The password that it accepts.
pub const PASSWORD: &str = "canary:word";
/// Both, as HTTP sends them.
const BASIC: &str = "Y2FuYXJ5LXVzZXI6Y2FuYXJ5OndvcmQ=";

/// A running proxy. It runs until the process ends.
pub struct Proxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// Starts a proxy that recognizes its protocol by the client's first byte. With `has_login`, it requires [`USER`]
    /// and [`PASSWORD`].
    pub fn start(has_login: bool) -> Self {
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let record = asked.clone();
        let address = accept(move |stream| {
            // An error means that the client is gone or has broken the protocol, which its test sees.
            let _ = serve(stream, has_login, &record);
        });
        Self { address, asked }
    }

    /// Starts a server that handles each connection as `answer` says, and then closes it.
    pub fn scripted(answer: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> Self {
        Self { address: accept(move |mut stream| answer(&mut stream)), asked: Arc::default() }
    }

    /// Returns `127.0.0.1:PORT`.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns what it was asked for, as `name:port`, oldest first.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no thread panics").clone()
    }
}

/// Accepts connections on a free port, and handles each on its own thread.
fn accept(handle: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound socket has an address");
    let handle = Arc::new(handle);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let handle = handle.clone();
            thread::spawn(move || handle(stream));
        }
    });
    address
}

fn serve(mut stream: TcpStream, has_login: bool, record: &Mutex<Vec<String>>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut first = [0];
    stream.peek(&mut first)?;
    let target = match first {
        [5] => read_socks5(&mut stream, has_login)?,
        _ => read_http(&mut stream, has_login)?,
    };
    let Some(target) = target else { return Ok(()) };
    record.lock().expect("no thread panics").push(target.clone());
    let port = target.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(0);
    let exchange = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port)))?;
    exchange.set_nodelay(true)?;
    let answer: &[u8] =
        if first == [5] { &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0] } else { b"HTTP/1.1 200 Established\r\n\r\n" };
    stream.write_all(answer)?;
    let back = (exchange.try_clone()?, stream.try_clone()?);
    let downstream = thread::spawn(move || copy(back.0, back.1));
    copy(stream, exchange);
    let _ = downstream.join();
    Ok(())
}

/// Copies until one side ends.
fn copy(mut from: TcpStream, mut to: TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}

/// Reads an HTTP request; `None` if it was refused.
fn read_http(stream: &mut TcpStream, has_login: bool) -> io::Result<Option<String>> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        request.push(byte[0]);
    }
    let request = String::from_utf8_lossy(&request);
    if has_login && !request.contains(&format!("\r\nProxy-Authorization: Basic {BASIC}\r\n")) {
        stream.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")?;
        return Ok(None);
    }
    Ok(request.split(' ').nth(1).map(str::to_owned))
}

/// Reads the messages of SOCKS5; `None` if the login was refused.
fn read_socks5(stream: &mut TcpStream, has_login: bool) -> io::Result<Option<String>> {
    let methods = read_text(stream, 1)?;
    let method = if has_login { 2 } else { 0 };
    if !methods.contains(&method) {
        stream.write_all(&[5, 0xff])?;
        return Ok(None);
    }
    stream.write_all(&[5, method])?;
    if has_login {
        let (user, password) = (read_text(stream, 1)?, read_text(stream, 0)?);
        let is_accepted = (user, password) == (USER.into(), PASSWORD.into());
        stream.write_all(&[1, u8::from(!is_accepted)])?;
        if !is_accepted {
            return Ok(None);
        }
    }
    let mut head = [0; 4];
    stream.read_exact(&mut head)?;
    let host = match head[3] {
        1 => {
            let mut octets = [0; 4];
            stream.read_exact(&mut octets)?;
            std::net::Ipv4Addr::from(octets).to_string()
        }
        _ => String::from_utf8_lossy(&read_text(stream, 0)?).into_owned(),
    };
    let mut port = [0; 2];
    stream.read_exact(&mut port)?;
    Ok(Some(format!("{host}:{}", u16::from_be_bytes(port))))
}

/// Skips bytes, and reads a text with its length in front.
fn read_text(stream: &mut TcpStream, skipped: usize) -> io::Result<Vec<u8>> {
    let mut head = vec![0; skipped + 1];
    stream.read_exact(&mut head)?;
    let mut text = vec![0; usize::from(head[skipped])];
    stream.read_exact(&mut text)?;
    Ok(text)
}
