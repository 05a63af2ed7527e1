//! The JSON parsers that users choose from, behind one trait.

use serde::de::DeserializeOwned;

/// Reads a message into a struct.
pub trait Parser {
    /// Returns `None` if the message has another form.
    fn parse<T: DeserializeOwned>(&mut self, message: &[u8]) -> Option<T>;
}

/// serde_json without its feature `float_roundtrip`. That is faster, but may round the last digit of long numbers
/// incorrectly. The features that the simulated exchange enables do not change how it fills a struct.
#[derive(Debug, Default)]
pub struct SerdeJson;

/// sonic-rs.
#[derive(Debug, Default)]
pub struct SonicRs;

/// simd-json through serde. It modifies its input, and WebSocket libraries return shared bytes, so it reads a copy.
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
