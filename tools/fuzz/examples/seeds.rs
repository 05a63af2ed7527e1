//! Writes the first inputs of the fuzz targets into the folder `seeds`: valid frames, answers and messages of each type.
//! Run it from `tools/fuzz` when the messages of `tools/testing` change.

use std::fs;
use std::io::Result;
use std::path::Path;

use hoga_fuzz::ACCEPT;
use hoga_testing::messages::{Draft, candle, orderbook, ticker, trade};
use hoga_testing::{Rng, frames};

fn write(target: &str, name: &str, bytes: &[u8]) -> Result<()> {
    let folder = Path::new("seeds").join(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(format!("{name}.input")), bytes)
}

fn with_cuts(cuts: u8, stream: &[u8]) -> Vec<u8> {
    [&[cuts], stream].concat()
}

fn data() -> Vec<(String, String)> {
    let mut rng = Rng::new(1);
    let mut texts = Vec::new();
    for short in [false, true] {
        let keys = if short { "short" } else { "long" };
        let drafts: [(&str, Draft); 4] = [
            ("ticker", ticker(&mut rng)),
            ("trade", trade(&mut rng)),
            ("orderbook", orderbook(&mut rng, 2, short)),
            ("candle", candle(&mut rng)),
        ];
        for (kind, draft) in drafts {
            texts.push((format!("{kind}-{keys}"), draft.write(short)));
        }
    }
    let list = format!("[{},{}]", texts[1].1, texts[3].1);
    texts.push(("list".to_owned(), list));
    texts
}

fn control() -> [(&'static str, &'static str); 3] {
    [
        ("error", r#"{"error":{"name":"WRONG_FORMAT","message":"Format"}}"#),
        ("status", r#"{"status":"UP"}"#),
        ("listed", r#"{"method":"LIST_SUBSCRIPTIONS","result":[{"type":"trade","codes":["KRW-BTC"]}],"ticket":"x"}"#),
    ]
}

fn answers() -> [(&'static str, String); 4] {
    let opened = format!(
        "HTTP/1.1 101 Switching Protocols\r\nDate: Wed, 11 Mar 2026 14:40:58 GMT\r\nUpgrade: websocket\r\n\
         Connection: upgrade\r\nSec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
    );
    let interim = format!("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n{opened}");
    let chunked =
        "HTTP/1.1 429 Too Many\r\nTransfer-Encoding: chunked\r\nRetry-After: 2\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let later = "HTTP/1.0 503 Busy\r\nRetry-After: Wed, 11 Mar 2026 14:41:58 GMT\r\nContent-Length: 4\r\n\r\nbusy";
    [("opened", opened), ("interim", interim), ("chunked", chunked.to_owned()), ("later", later.to_owned())]
}

/// Frames of each kind, also a fragmented text.
fn stream(text: &str) -> Vec<u8> {
    let (first, rest) = text.as_bytes().split_at(text.len() / 2);
    [
        frames::server(frames::BINARY, text.as_bytes()),
        frames::server(frames::PING, b"ping"),
        frames::server(0x01, first),
        frames::server(frames::PONG, b""),
        frames::server(0x80, rest),
        frames::server(frames::CLOSE, b"\x03\xe8bye"),
    ]
    .concat()
}

fn main() -> Result<()> {
    for (name, text) in data() {
        write("decode", &name, text.as_bytes())?;
        write("session", &name, &with_cuts(1, &frames::server(frames::BINARY, text.as_bytes())))?;
    }
    for (name, text) in control() {
        write("decode", name, text.as_bytes())?;
        write("frames", name, &with_cuts(9, &stream(text)))?;
        write("session", name, &with_cuts(3, &stream(text)))?;
    }
    for (name, answer) in answers() {
        write("opening", name, &with_cuts(5, answer.as_bytes()))?;
        write("session", name, &with_cuts(2, answer.as_bytes()))?;
    }
    let lines: Vec<_> = data().into_iter().map(|(_, text)| text).collect();
    let wrapped = format!("# recorded\n{{\"time\":1,\"message\":{}}}\n{{\"raw\":{:?}}}\n", lines[1], lines[5]);
    write("recording", "plain", lines[..4].join("\n").as_bytes())?;
    write("recording", "wrapped", wrapped.as_bytes())
}
