//! Clients, each with a name and the demand it holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::DemandId;
use crate::model::Nanos;

/// Identifies a client as long as it exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(u64);

/// The time of the last heartbeat of a client with a lease. A heartbeat costs one plain store.
#[derive(Debug, Default)]
pub struct Heartbeat(AtomicU64);

impl Heartbeat {
    /// Renews the lease: the client is alive.
    pub fn renew(&self, now: Nanos) {
        // Relaxed: no other data is read because of this value.
        self.0.store(now.0, Relaxed);
    }

    fn last(&self) -> Nanos {
        Nanos(self.0.load(Relaxed))
    }
}

/// The status of a client at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientStatus {
    /// The client's name.
    pub name: Box<str>,
    /// The number of subscriptions that the client holds.
    pub subscriptions: usize,
    /// True if the last clean-up found the client's lease expired. If it is still expired at the next clean-up, the
    /// client is removed and all its demand released.
    pub overdue: bool,
}

/// All clients.
#[derive(Debug, Default)]
pub(super) struct Clients {
    clients: BTreeMap<ClientId, Client>,
    last_id: u64,
}

#[derive(Debug)]
struct Client {
    name: Box<str>,
    lease: Option<Duration>,
    heartbeat: Arc<Heartbeat>,
    holds: BTreeSet<DemandId>,
    overdue: bool,
}

/// The result of a clean-up.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Swept {
    /// Clients that have become overdue.
    pub overdue: Vec<Box<str>>,
    /// Clients that were overdue before and are now removed.
    pub reaped: Vec<Box<str>>,
    /// The demand that the removed clients held.
    pub released: Vec<DemandId>,
}

impl Clients {
    /// Returns the name of a client.
    pub fn name(&self, id: ClientId) -> Option<&str> {
        self.clients.get(&id).map(|client| &*client.name)
    }

    /// Adds a client; `None` if the name is taken.
    pub fn open(&mut self, now: Nanos, name: &str, lease: Option<Duration>) -> Option<(ClientId, Arc<Heartbeat>)> {
        if self.clients.values().any(|client| *client.name == *name) {
            return None;
        }
        self.last_id += 1;
        let (id, heartbeat) = (ClientId(self.last_id), Arc::new(Heartbeat::default()));
        heartbeat.renew(now);
        let client =
            Client { name: name.into(), lease, heartbeat: heartbeat.clone(), holds: BTreeSet::new(), overdue: false };
        self.clients.insert(id, client);
        Some((id, heartbeat))
    }

    /// Returns true if the client exists.
    pub fn has(&self, id: ClientId) -> bool {
        self.clients.contains_key(&id)
    }

    /// Returns the demand of a client, oldest first.
    pub fn holders_of(&self, id: ClientId) -> Vec<DemandId> {
        self.clients.get(&id).into_iter().flat_map(|client| client.holds.iter().copied()).collect()
    }

    /// Adds demand to a client.
    pub fn hold(&mut self, id: ClientId, demand: DemandId) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.holds.insert(demand);
        }
    }

    /// Removes demand from the client that holds it.
    pub fn release(&mut self, demand: DemandId) {
        for client in self.clients.values_mut() {
            client.holds.remove(&demand);
        }
    }

    /// Removes a client, and returns the demand it held.
    pub fn close(&mut self, id: ClientId) -> BTreeSet<DemandId> {
        self.clients.remove(&id).map(|client| client.holds).unwrap_or_default()
    }

    /// Reports clients whose lease has expired, and removes those that the last call reported already.
    pub fn sweep(&mut self, now: Nanos) -> Swept {
        let mut swept = Swept::default();
        self.clients.retain(|_, client| {
            let late = client.lease.is_some_and(|lease| now.since(client.heartbeat.last()) > lease);
            let was_overdue = std::mem::replace(&mut client.overdue, late);
            if late && was_overdue {
                swept.reaped.push(client.name.clone());
                swept.released.extend(&client.holds);
                return false;
            }
            if late {
                swept.overdue.push(client.name.clone());
            }
            true
        });
        swept
    }

    /// Returns the status of each client, in the order in which they were opened.
    pub fn status(&self) -> Vec<ClientStatus> {
        let status = |client: &Client| ClientStatus {
            name: client.name.clone(),
            subscriptions: client.holds.len(),
            overdue: client.overdue,
        };
        self.clients.values().map(status).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_nanos(100);

    #[test]
    fn a_name_is_free_again_after_its_client_closes() {
        let mut clients = Clients::default();
        let (chart, _) = clients.open(Nanos(0), "chart", None).unwrap();
        assert!(clients.open(Nanos(0), "chart", None).is_none());
        clients.hold(chart, DemandId(1));
        clients.hold(chart, DemandId(2));
        clients.release(DemandId(1));
        assert_eq!(clients.close(chart), [DemandId(2)].into());
        assert!(!clients.has(chart));
        assert!(clients.open(Nanos(0), "chart", None).is_some());
    }

    #[test]
    fn an_expired_lease_is_reported_first_and_reaped_later() {
        let mut clients = Clients::default();
        let (bot, heartbeat) = clients.open(Nanos(0), "bot", Some(LEASE)).unwrap();
        clients.open(Nanos(0), "free", None).unwrap();
        clients.hold(bot, DemandId(7));
        assert_eq!(clients.sweep(Nanos(100)), Swept::default());
        assert_eq!(clients.sweep(Nanos(101)).overdue, ["bot".into()]);
        assert!(clients.status()[0].overdue);

        heartbeat.renew(Nanos(150));
        assert_eq!(clients.sweep(Nanos(200)), Swept::default(), "the client renewed its lease");
        assert_eq!(clients.sweep(Nanos(251)).overdue, ["bot".into()]);
        let swept = clients.sweep(Nanos(300));
        assert_eq!((swept.reaped, swept.released), (vec!["bot".into()], vec![DemandId(7)]));
        assert!(!clients.has(bot));
        assert_eq!(clients.status().len(), 1);
    }
}
