//! The JSON parsers that users choose from, behind one face.

use serde::de::DeserializeOwned;

/// Reads a message into a struct.
pub trait Parser {
    /// None if it is no such message.
    fn parse<T: DeserializeOwned>(&mut self, message: &[u8]) -> Option<T>;
}

/// serde_json as it comes. Without its feature `float_roundtrip` it is faster, and rounds the last digit of long
/// numbers wrongly now and then.
#[derive(Debug, Default)]
pub struct SerdeJson;

/// sonic-rs.
#[derive(Debug, Default)]
pub struct SonicRs;

/// simd-json through serde. It writes into what it reads, and WebSocket libraries hand out shared bytes: so it reads a
/// copy.
#[derive(Default)]
pub struct SimdJson {
    copy: Vec<u8>,
    buffers: simd_json::Buffers,
}

impl Parser for SerdeJson {
    #[inline]
    fn parse<T: DeserializeOwned>(&mut self, message: &[u8]) -> Option<T> {
        serde_json::from_slice(message).ok()
    }
}

impl Parser for SonicRs {
    #[inline]
    fn parse<T: DeserializeOwned>(&mut self, message: &[u8]) -> Option<T> {
        sonic_rs::from_slice(message).ok()
    }
}

impl Parser for SimdJson {
    #[inline]
    fn parse<T: DeserializeOwned>(&mut self, message: &[u8]) -> Option<T> {
        self.copy.clear();
        self.copy.extend_from_slice(message);
        simd_json::serde::from_slice_with_buffers(&mut self.copy, &mut self.buffers).ok()
    }
}
