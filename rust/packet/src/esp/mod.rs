//! ESP (RFC 4303): the packet, and the transforms that seal and open it in place.
//!
//! The outer IP header is not ours: the socket makes it. What is sealed is a payload and its next header, in tunnel
//! mode an IP packet and 4 or 41.
//!
//! * AES-GCM with a 16-octet ICV (RFC 4106), ChaCha20-Poly1305 (RFC 7634): the salt stands behind the key, the IV of
//!   8 octets is the sequence number, which no SA uses twice (RFC 4106 section 3.1).
//! * AES-CBC (RFC 3602) with HMAC-SHA2 (RFC 4868): the IV is unpredictable (RFC 3602 section 3): the sequence number
//!   encrypted under a random key of the SA's own, as NIST SP 800-38A appendix C describes.
//!
//! Keys are made ready once per SA. ESN (RFC 4304) is not here yet: sequence numbers are passed as 64 bits, and the
//! associated data is the one place that would take the upper half.

mod cipher;
mod keys;
mod opener;
mod packet;
mod sealer;
mod trailer;

pub use keys::{KeyError, KeyMaterial};
pub use opener::{OpenError, Opener};
pub use packet::Packet;
pub use sealer::{SealError, Sealer};
pub use trailer::Trailer;

#[cfg(test)]
mod vectors;
