//! The client's part of SOCKS5 (RFC 1928), with user name and password (RFC 1929).

use std::net::IpAddr;

use super::tunnel::{TunnelError, TunnelStep};

const VERSION: u8 = 5;
const NO_LOGIN: u8 = 0;
const PASSWORD_LOGIN: u8 = 2;
const NO_ACCEPTABLE_LOGIN: u8 = 0xff;

/// The opening of one tunnel.
pub(super) struct Socks5 {
    awaits: Answer,
    /// The message with the user name and the password.
    login: Option<Vec<u8>>,
    /// The message that asks for the tunnel.
    request: Vec<u8>,
}

/// The answer that comes next.
enum Answer {
    Method,
    Login,
    Request,
}

impl Socks5 {
    /// Returns the opening and the first message.
    pub fn start(host: &str, port: u16, credentials: Option<(&str, &str)>) -> (Self, Vec<u8>) {
        let login = credentials.map(|(user, password)| {
            let mut login = vec![1];
            for text in [user, password] {
                push_text(&mut login, text);
            }
            login
        });
        let mut request = vec![VERSION, 1, 0];
        match host.parse() {
            Ok(IpAddr::V4(ip)) => {
                request.push(1);
                request.extend(ip.octets());
            }
            Ok(IpAddr::V6(ip)) => {
                request.push(4);
                request.extend(ip.octets());
            }
            Err(_) => {
                request.push(3);
                push_text(&mut request, host);
            }
        }
        request.extend(port.to_be_bytes());
        let methods: &[u8] = if login.is_some() { &[NO_LOGIN, PASSWORD_LOGIN] } else { &[NO_LOGIN] };
        let greeting = [&[VERSION, methods.len() as u8], methods].concat();
        (Self { awaits: Answer::Method, login, request }, greeting)
    }

    /// Reads the next answer. Same contract as [`Tunnel::handle`](super::Tunnel::handle).
    pub fn handle(&mut self, received: &[u8]) -> Result<(usize, TunnelStep), TunnelError> {
        match self.awaits {
            Answer::Method => self.handle_method(received),
            Answer::Login => self.handle_login(received),
            Answer::Request => handle_reply(received),
        }
    }

    fn handle_method(&mut self, received: &[u8]) -> Result<(usize, TunnelStep), TunnelError> {
        check_version(received)?;
        let [_, method, ..] = *received else { return Ok((0, TunnelStep::NeedMore)) };
        let message = match (method, &self.login) {
            (NO_LOGIN, _) => {
                self.awaits = Answer::Request;
                &self.request
            }
            (PASSWORD_LOGIN, Some(login)) => {
                self.awaits = Answer::Login;
                login
            }
            (NO_ACCEPTABLE_LOGIN, None) => return Err(TunnelError::CredentialsMissing),
            (NO_ACCEPTABLE_LOGIN, Some(_)) => {
                return Err(TunnelError::Protocol("it accepts neither a user name with a password nor none".into()));
            }
            (method, _) => return Err(protocol("it selected a method that was not offered", method)),
        };
        Ok((2, TunnelStep::Send(message.clone())))
    }

    fn handle_login(&mut self, received: &[u8]) -> Result<(usize, TunnelStep), TunnelError> {
        // The version is not checked, because some proxies send 5 instead of 1.
        let [_, status, ..] = *received else { return Ok((0, TunnelStep::NeedMore)) };
        if status != 0 {
            return Err(TunnelError::CredentialsRefused);
        }
        self.awaits = Answer::Request;
        Ok((2, TunnelStep::Send(self.request.clone())))
    }
}

fn handle_reply(received: &[u8]) -> Result<(usize, TunnelStep), TunnelError> {
    check_version(received)?;
    if let [_, code, ..] = *received
        && code != 0
    {
        return Err(TunnelError::Reply(code));
    }
    // The address from which the proxy connects says nothing to us, but it must be consumed.
    let size = match *received {
        [_, _, _, 1, ..] => 4 + 4 + 2,
        [_, _, _, 4, ..] => 4 + 16 + 2,
        [_, _, _, 3, length, ..] => 4 + 1 + usize::from(length) + 2,
        [_, _, _, 3] | [] | [_] | [_, _] | [_, _, _] => return Ok((0, TunnelStep::NeedMore)),
        [_, _, _, other, ..] => return Err(protocol("its address has an unknown type", other)),
    };
    Ok(if received.len() < size { (0, TunnelStep::NeedMore) } else { (size, TunnelStep::Done) })
}

fn check_version(received: &[u8]) -> Result<(), TunnelError> {
    match received.first() {
        Some(&version) if version != VERSION => Err(protocol("the answer is not SOCKS5: its first byte is", version)),
        _ => Ok(()),
    }
}

fn protocol(why: &str, byte: u8) -> TunnelError {
    TunnelError::Protocol(format!("{why} {byte:#04x}").into())
}

/// Appends a text of at most 255 bytes, with its length in front.
fn push_text(message: &mut Vec<u8>, text: &str) {
    debug_assert!(text.len() <= 255);
    message.push(text.len() as u8);
    message.extend(text.bytes());
}
