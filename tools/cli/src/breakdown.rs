//! Prints where the time of messages went, for each connection.

use hoga::engine::Engine;
use hoga::feed::{Latencies, Latency};
use hoga::model::ConnectionId;
use hoga::route::Attribution;

use crate::latency::{fields, quantiles, short};
use crate::object::Object;

/// The latencies of each connection, and those from the publish stamp until this program has read the event.
#[derive(Default)]
pub struct Breakdown {
    connections: Vec<(ConnectionId, Attribution)>,
    publish_to_read: Latency,
}

impl Breakdown {
    /// Collects the latencies of an engine, which may have been shut down, and of the feed that was read.
    pub fn of(engine: &Engine, read: Option<&Latencies>) -> Self {
        let publish_to_read = read.map(|read| read.publish_to_read.clone()).unwrap_or_default();
        Self { connections: engine.latencies(), publish_to_read }
    }

    /// Returns a name and a text for each part of the way, in order. If there are several connections, the name
    /// contains the connection.
    pub fn rows(&self) -> Vec<(String, String)> {
        let mut rows = Vec::new();
        for (id, way) in &self.connections {
            let name = |name: &str| if self.connections.len() > 1 { format!("{id}: {name}") } else { name.to_owned() };
            rows.push((name("exchange→receive"), from_exchange(way)));
            rows.push((name("above the fastest"), quantiles(&way.above_fastest)));
            rows.push((name("kernel→user"), quantiles(&way.kernel_to_user)));
            rows.push((name("receive→publish"), quantiles(&way.receive_to_publish)));
            rows.push((name("fan-out"), quantiles(&way.fan_out)));
        }
        rows.push(("publish→read".to_owned(), quantiles(&self.publish_to_read)));
        rows
    }

    /// Writes the latencies as JSON fields.
    pub fn fields(&self, object: &mut Object) {
        object
            .objects("connections", self.connections.iter(), |object, (id, way)| {
                object.plain("conn", id);
                connection(object, way);
            })
            .object("publish_to_read", |object| fields(object, &self.publish_to_read));
    }
}

fn from_exchange(way: &Attribution) -> String {
    match way.exchange_error() {
        Some(error) => {
            format!("{}  ± {}, because the clocks differ", quantiles(&way.exchange_to_receive), short(error))
        }
        None => "unknown: the exchange has not reported the time of its clock".to_owned(),
    }
}

fn connection(object: &mut Object, way: &Attribution) {
    object
        .object("exchange_to_receive", |object| {
            fields(object, &way.exchange_to_receive);
            object.optional("error_ns", way.exchange_error().map(|error| error.as_nanos()));
        })
        .object("above_fastest", |object| fields(object, &way.above_fastest))
        .object("kernel_to_user", |object| fields(object, &way.kernel_to_user))
        .object("receive_to_publish", |object| fields(object, &way.receive_to_publish))
        .object("fan_out", |object| fields(object, &way.fan_out))
        .object("clock_ahead", |object| {
            object.optional("low_ns", way.clock_offset.low()).optional("high_ns", way.clock_offset.high());
        });
}
