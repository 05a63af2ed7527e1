//! tokio-tungstenite and serde_json.

use std::io;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::client_async_with_config;
use tungstenite::Message;

use super::parser::SerdeJson;
use super::tokio::{Client, Hub};
use super::update::Update;
use crate::stack::Endpoint;

/// tokio-tungstenite and serde_json: what most users start with.
#[derive(Debug, Clone, Copy)]
pub struct TokioTungstenite;

impl Client for TokioTungstenite {
    async fn follow<S>(&self, socket: S, endpoint: &Endpoint, hub: &Hub) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let opening = client_async_with_config(endpoint.url.as_str(), socket, Some(super::websocket_config()));
        let (mut socket, _) = opening.await.map_err(io::Error::other)?;
        socket.send(Message::text(endpoint.request())).await.map_err(io::Error::other)?;
        while let Some(message) = socket.next().await {
            let update = match message.map_err(io::Error::other)? {
                Message::Binary(bytes) => Update::read(&mut SerdeJson, &bytes),
                Message::Text(text) => Update::read(&mut SerdeJson, text.as_bytes()),
                _ => None,
            };
            update.into_iter().for_each(|update| hub.publish(update));
        }
        Ok(())
    }
}
