//! How a request reaches the exchange: through the same proxy, and with the same TLS, as the connections.

use std::fmt;
use std::io::{self, Read, Write};

use ureq::Error;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, TcpConnector, Transport, TransportAdapter,
};

use crate::config::{Proxy, ProxyProtocol};
use crate::net::tls::{Tls, TlsConfig, explain_broken};
use crate::session::{ProxyFailure, Stage};
use crate::ws::{Tunnel, TunnelError, TunnelStep};

/// Looks up the proxy, if there is one, and otherwise the exchange.
#[derive(Debug)]
pub(super) struct Lookup {
    pub proxy: Option<Proxy>,
}

impl Resolver for Lookup {
    fn resolve(
        &self,
        uri: &Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let resolver = DefaultResolver::default();
        let Some(proxy) = &self.proxy else { return resolver.resolve(uri, config, timeout) };
        let (open, close) = if proxy.host().contains(':') { ("[", "]") } else { ("", "") };
        let address: Uri = format!("http://{open}{}{close}:{}/", proxy.host(), proxy.port())
            .parse()
            .map_err(ureq::http::Error::from)?;
        resolver.resolve(&address, config, timeout).map_err(|error| match error {
            Error::Timeout(_) => failed(proxy, ProxyFailure::Timeout(Stage::Resolve)),
            Error::Io(error) => failed(proxy, ProxyFailure::Resolve(error.to_string().into())),
            error => failed(proxy, ProxyFailure::Resolve(error.to_string().into())),
        })
    }
}

/// Opens TCP to the exchange, or a tunnel through the proxy.
#[derive(Debug)]
pub(super) struct Dial {
    pub tcp: TcpConnector,
    pub proxy: Option<Proxy>,
}

impl Connector for Dial {
    type Out = <TcpConnector as Connector>::Out;

    fn connect(&self, details: &ConnectionDetails<'_>, chained: Option<()>) -> Result<Option<Self::Out>, Error> {
        let connected = self.tcp.connect(details, chained);
        let Some(proxy) = &self.proxy else { return connected };
        let connected = connected.map_err(|error| match error {
            Error::Io(error) => failed(proxy, ProxyFailure::Connect(error.kind())),
            Error::Timeout(_) => failed(proxy, ProxyFailure::Timeout(Stage::Connect)),
            other => other,
        })?;
        let Some(transport) = connected else { return Ok(None) };
        let mut socket = TransportAdapter::new(transport, details.current_time.clone());
        socket.set_timeout(details.timeout);
        open_tunnel(&mut socket, details.uri, proxy).map_err(|why| failed(proxy, why))?;
        Ok(Some(socket.into_inner()))
    }
}

fn open_tunnel(socket: &mut (impl Read + Write), uri: &Uri, proxy: &Proxy) -> Result<(), ProxyFailure> {
    let broken = |error: io::Error| match is_timeout(&error) {
        true => ProxyFailure::Timeout(Stage::Tunnel),
        false => ProxyFailure::Tunnel(TunnelError::Closed),
    };
    let start = match proxy.protocol() {
        ProxyProtocol::Http => Tunnel::http,
        ProxyProtocol::Socks5 => Tunnel::socks5,
    };
    let default_port = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    let (mut tunnel, first) = start(host(uri), uri.port_u16().unwrap_or(default_port), proxy.credentials());
    socket.write_all(&first).map_err(broken)?;
    let mut received = Vec::new();
    loop {
        // One byte at a time, so that no byte after the answer is read. The transport has a buffer.
        let mut byte = [0];
        if socket.read(&mut byte).map_err(broken)? == 0 {
            return Err(ProxyFailure::Tunnel(TunnelError::Closed));
        }
        received.push(byte[0]);
        let (consumed, step) = tunnel.handle(&received).map_err(ProxyFailure::Tunnel)?;
        received.drain(..consumed);
        match step {
            TunnelStep::NeedMore => {}
            TunnelStep::Send(bytes) => socket.write_all(&bytes).map_err(broken)?,
            TunnelStep::Done => return Ok(()),
        }
    }
}

/// Returns true if the request's deadline has passed.
fn is_timeout(error: &io::Error) -> bool {
    error.get_ref().and_then(|inner| inner.downcast_ref()).is_some_and(|error| matches!(error, Error::Timeout(_)))
}

/// Adds TLS for `https`.
pub(super) struct Secure(pub TlsConfig);

impl fmt::Debug for Secure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secure").finish_non_exhaustive()
    }
}

impl<In: Transport> Connector<In> for Secure {
    type Out = Either<In, Secured>;

    fn connect(&self, details: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        let Some(transport) = chained else { return Ok(None) };
        if !details.needs_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let tls = Tls::new(&self.0, host(details.uri), &[]).map_err(other)?;
        let mut socket = TransportAdapter::new(transport.boxed(), details.current_time.clone());
        socket.set_timeout(details.timeout);
        let buffers = LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        let mut secured = Secured { tls, socket, buffers };
        match secured.blocking(Tls::handshake) {
            Ok(()) => Ok(Some(Either::B(secured))),
            Err(error) if is_timeout(&error) => Err(error.into()),
            Err(error) => Err(other(format!("TLS failed: {}", secured.tls.explain(&error)))),
        }
    }
}

/// A transport under TLS.
pub(super) struct Secured {
    tls: Tls,
    socket: TransportAdapter,
    buffers: LazyBuffers,
}

impl Secured {
    /// Repeats an operation of TLS on the socket, which blocks, until it is done.
    fn blocking<T>(
        &mut self,
        mut operation: impl FnMut(&mut Tls, &mut TransportAdapter) -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            match operation(&mut self.tls, &mut self.socket) {
                // TLS knows that the last read emptied the socket, and waits for an event that nobody reports here.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.tls.readable(false),
                done => return done,
            }
        }
    }
}

impl Transport for Secured {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.socket.set_timeout(timeout);
        let mut bytes = &self.buffers.output()[..amount];
        while !bytes.is_empty() {
            let taken = self.tls.write(bytes)?;
            bytes = &bytes[taken..];
            self.tls.flush(&mut self.socket)?;
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.socket.set_timeout(timeout);
        loop {
            self.tls.readable(false);
            match self.tls.read(&mut self.socket, self.buffers.input_append_buf()) {
                Ok(n) => {
                    self.buffers.input_appended(n);
                    return Ok(n > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    return Err(other(format!("TLS failed: {}", explain_broken(&error))));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn is_open(&mut self) -> bool {
        self.socket.get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

impl fmt::Debug for Secured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secured").finish_non_exhaustive()
    }
}

/// Returns the host without brackets.
fn host(uri: &Uri) -> &str {
    uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
}

fn failed(proxy: &Proxy, why: ProxyFailure) -> Error {
    other(format!("the proxy {proxy} {why}"))
}

fn other(why: String) -> Error {
    Error::Other(why.into())
}
