//! The exchange neither panics nor exceeds its bounds, regardless of client input and faults.

use crate::common::*;
use hoga_exchange::{Config, ErrorName, Fault, Flow};
use hoga_testing::Rng;

/// Random client input and random faults.
struct Dice(Rng);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0.below(sides)
    }

    fn bytes(&mut self) -> Vec<u8> {
        (0..self.roll(40)).map(|_| self.roll(256) as u8).collect()
    }

    fn message(&mut self) -> Vec<u8> {
        let kind = ["ticker", "trade", "orderbook", "candle.1s", "myOrder", "nope"][self.roll(6)];
        let code = ["KRW-BTC", "BTC-ETH.5", "krw-btc", "", "KRW-ETH.x.y"][self.roll(5)];
        let format = ["DEFAULT", "SIMPLE", "JSON_LIST", "SIMPLE_LIST", "?"][self.roll(5)];
        let text = match self.roll(4) {
            0 => r#"[{"ticket":"t"},{"method":"LIST_SUBSCRIPTIONS"},{"format":"JSON_LIST"}]"#.to_owned(),
            1 => "PING".to_owned(),
            _ => {
                request(&format!(r#"{{"type":"{kind}","codes":["{code}"],"level":{}}}"#, self.roll(3) * 5_000), format)
            }
        };
        let mut bytes = text.into_bytes();
        if self.roll(8) == 0 {
            let place = self.roll(bytes.len());
            bytes[place] = self.roll(256) as u8;
        }
        bytes
    }

    fn fault(&mut self) -> Fault {
        let on = self.roll(2) == 0;
        let stream = ("trade".to_owned(), "KRW-BTC".to_owned());
        match self.roll(17) {
            0 => Fault::Mute(on),
            1 => Fault::Stall(on),
            2 => Fault::DropAll,
            3 => Fault::CloseAll(1000 + self.roll(15) as u16),
            4 => Fault::Garbage,
            5 => Fault::RejectUpgrades { count: 1, status: 503, retry_after: None, body: String::new() },
            6 => Fault::RefuseConnects(on),
            7 => Fault::SendText(on),
            8 => Fault::Fragment(on),
            9 => Fault::MicrosecondTimestamps(on),
            10 => Fault::DuplicateTrades(on),
            11 => Fault::UnknownKeys(on),
            12 => Fault::MultiElementLists(on),
            13 => Fault::EarlyData(on),
            14 => Fault::MuteStream { type_name: stream.0, code: stream.1, on },
            15 => Fault::Forget { type_name: stream.0, code: stream.1 },
            _ => Fault::ErrorNow(ErrorName::ALL[self.roll(7)]),
        }
    }
}

#[test]
fn nothing_a_client_or_a_fault_does_breaks_the_exchange() {
    for seed in 1..=200u64 {
        let mut dice = Dice(Rng::new(seed));
        let mut link = Link::connected(Config { seed, speed: 5.0, ..Config::default() });
        for _ in 0..60 {
            match dice.roll(12) {
                0 => {
                    if dice.roll(2) == 0 {
                        link.exchange.disconnected(link.now, link.conn);
                    }
                    link.reconnect();
                    link.receive(upgrade("/websocket/v1", "").as_bytes());
                }
                1 => {
                    let fault = dice.fault();
                    link.exchange.inject(link.now, fault);
                }
                2 if dice.roll(4) == 0 => {
                    let bytes = dice.bytes();
                    link.receive(&bytes);
                }
                3..=6 => {
                    let message = dice.message();
                    link.send(1 + dice.roll(2) as u8, &message);
                }
                7 => link.send(8 + dice.roll(3) as u8, b"ok"),
                _ => link.advance(dice.roll(4_000) as u64 * MS),
            }
            assert!(matches!(link.flow, Flow::Open | Flow::Close | Flow::Drop));
        }
        for fault in [Fault::Stall(false), Fault::RefuseConnects(false), Fault::Mute(false), Fault::EarlyData(false)] {
            link.exchange.inject(link.now, fault);
        }
        // Afterwards a well-behaved client is served as usual.
        link.advance(120 * SECOND);
        for _ in 0..2 {
            // A rejection may still be pending.
            link.reconnect();
            link.receive(upgrade("/websocket/v1", "").as_bytes());
        }
        for _ in 0..60 {
            if link.head.starts_with("HTTP/1.1 101") {
                break;
            }
            link.reconnect();
            link.receive(upgrade("/websocket/v1", "").as_bytes());
            link.advance(SECOND);
        }
        link.say(&subscribe("ticker", &["KRW-BTC"]));
        link.advance(SECOND);
        assert!(link.frames.iter().any(|frame| frame.opcode < 8), "seed {seed}: {}", link.head);
    }
}
