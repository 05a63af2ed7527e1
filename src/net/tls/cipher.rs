//! rustls' ciphers, with the record numbers and the limit on records per key that they need.

use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, InboundPlainMessage, Iv, MessageDecrypter, MessageEncrypter, OutboundChunks,
    OutboundPlainMessage,
};
use rustls::{ConnectionTrafficSecrets, ContentType, Error, ProtocolVersion, SupportedCipherSuite};

/// A key that decrypts records.
pub(super) struct Opener {
    decrypter: Box<dyn MessageDecrypter>,
    /// The number of the next record. No two records may have the same (RFC 8446 section 5.3).
    sequence: u64,
}

/// A key that encrypts records.
pub(super) struct Sealer {
    encrypter: Box<dyn MessageEncrypter>,
    sequence: u64,
    /// The maximum number of records under one key (RFC 8446 section 5.5).
    limit: u64,
}

impl Opener {
    pub fn new(
        suite: SupportedCipherSuite,
        (sequence, secrets): (u64, ConnectionTrafficSecrets),
    ) -> Result<Self, Error> {
        let (key, iv) = parts(secrets)?;
        let decrypter = match suite {
            SupportedCipherSuite::Tls13(suite) => suite.aead_alg.decrypter(key, iv),
            SupportedCipherSuite::Tls12(suite) => {
                let fixed = suite.aead_alg.key_block_shape().fixed_iv_len;
                suite.aead_alg.decrypter(key, &iv.as_ref()[..fixed])
            }
        };
        Ok(Self { decrypter, sequence })
    }

    /// Decrypts the next record in place.
    #[inline]
    pub fn open<'a>(
        &mut self,
        typ: ContentType,
        version: ProtocolVersion,
        body: &'a mut [u8],
    ) -> Result<InboundPlainMessage<'a>, Error> {
        let plain = self.decrypter.decrypt(InboundOpaqueMessage::new(typ, version, body), self.sequence)?;
        self.sequence += 1;
        Ok(plain)
    }
}

impl Sealer {
    pub fn new(
        suite: SupportedCipherSuite,
        (sequence, secrets): (u64, ConnectionTrafficSecrets),
    ) -> Result<Self, Error> {
        let (key, iv) = parts(secrets)?;
        let (encrypter, limit) = match suite {
            SupportedCipherSuite::Tls13(suite) => {
                (suite.aead_alg.encrypter(key, iv), suite.common.confidentiality_limit)
            }
            SupportedCipherSuite::Tls12(suite) => {
                let (fixed, explicit) = iv.as_ref().split_at(suite.aead_alg.key_block_shape().fixed_iv_len);
                (suite.aead_alg.encrypter(key, fixed, explicit), suite.common.confidentiality_limit)
            }
        };
        Ok(Self { encrypter, sequence, limit })
    }

    /// Encrypts the next record and appends it to `outgoing`.
    pub fn seal(&mut self, typ: ContentType, payload: &[u8], outgoing: &mut Vec<u8>) -> Result<(), Error> {
        if self.sequence >= self.limit {
            return Err(Error::General("this key has reached its record limit".to_owned()));
        }
        let version = ProtocolVersion::TLSv1_2; // the record version in both protocol versions
        let plain = OutboundPlainMessage { typ, version, payload: OutboundChunks::Single(payload) };
        let sealed = self.encrypter.encrypt(plain, self.sequence)?;
        self.sequence += 1;
        outgoing.extend(sealed.encode());
        Ok(())
    }
}

fn parts(secrets: ConnectionTrafficSecrets) -> Result<(AeadKey, Iv), Error> {
    match secrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => Ok((key, iv)),
        _ => Err(Error::General("unknown cipher".to_owned())),
    }
}
