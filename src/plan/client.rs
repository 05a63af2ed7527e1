//! Components of a program, each with a name and what it holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::DemandId;
use crate::model::Nanos;

/// Names one component for as long as it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(u64);

/// The last sign of life of a component with a lease. One plain store renews it.
#[derive(Debug, Default)]
pub struct Heartbeat(AtomicU64);

impl Heartbeat {
    /// The component is alive.
    pub fn renew(&self, now: Nanos) {
        // Relaxed: nothing is read on the strength of it.
        self.0.store(now.0, Relaxed);
    }

    fn last(&self) -> Nanos {
        Nanos(self.0.load(Relaxed))
    }
}

/// A component at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientStatus {
    /// Its name.
    pub name: Box<str>,
    /// Subscriptions it holds.
    pub subscriptions: usize,
    /// It has a lease and did not renew it in time. If it has not by the next clean-up, all it holds is released.
    pub overdue: bool,
}

/// All components.
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

/// What a clean-up found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Swept {
    /// Did not renew their leases in time.
    pub overdue: Vec<Box<str>>,
    /// Were overdue already and are gone now.
    pub reaped: Vec<Box<str>>,
    /// What those held.
    pub released: Vec<DemandId>,
}

impl Clients {
    /// The name of a component.
    pub fn name(&self, id: ClientId) -> Option<&str> {
        self.clients.get(&id).map(|client| &*client.name)
    }

    /// A new component; `None` if there is one of that name.
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

    /// It lives.
    pub fn has(&self, id: ClientId) -> bool {
        self.clients.contains_key(&id)
    }

    /// It holds this from now on.
    pub fn hold(&mut self, id: ClientId, demand: DemandId) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.holds.insert(demand);
        }
    }

    /// Whoever held this does not any more.
    pub fn release(&mut self, demand: DemandId) {
        for client in self.clients.values_mut() {
            client.holds.remove(&demand);
        }
    }

    /// The component is gone; gives what it held.
    pub fn close(&mut self, id: ClientId) -> BTreeSet<DemandId> {
        self.clients.remove(&id).map(|client| client.holds).unwrap_or_default()
    }

    /// Reports components whose lease has run out, and closes those that were reported before.
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

    /// Each component, in the order in which they came.
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
    fn a_name_is_taken_once_at_a_time() {
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
    fn a_lease_that_runs_out_is_reported_first_and_reaped_later() {
        let mut clients = Clients::default();
        let (bot, heartbeat) = clients.open(Nanos(0), "bot", Some(LEASE)).unwrap();
        clients.open(Nanos(0), "free", None).unwrap();
        clients.hold(bot, DemandId(7));
        assert_eq!(clients.sweep(Nanos(100)), Swept::default());
        assert_eq!(clients.sweep(Nanos(101)).overdue, ["bot".into()]);
        assert!(clients.status()[0].overdue);

        heartbeat.renew(Nanos(150));
        assert_eq!(clients.sweep(Nanos(200)), Swept::default(), "it came back");
        assert_eq!(clients.sweep(Nanos(251)).overdue, ["bot".into()]);
        let swept = clients.sweep(Nanos(300));
        assert_eq!((swept.reaped, swept.released), (vec!["bot".into()], vec![DemandId(7)]));
        assert!(!clients.has(bot));
        assert_eq!(clients.status().len(), 1);
    }
}
