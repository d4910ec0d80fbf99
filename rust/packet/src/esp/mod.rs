//! ESP (RFC 4303): the packet, and the transforms that seal and open it in place.
//!
//! The outer IP header is not ours: what is sealed is a payload and its next header, in tunnel mode an IP packet and 4
//! or 41, in transport mode what [`crate::transport`] finds behind the IP header.
//!
//! | family | algorithms | IV |
//! | --- | --- | --- |
//! | combined | AES-GCM (RFC 4106), AES-CCM (RFC 4309), ChaCha20-Poly1305 (RFC 7634), AES-GMAC (RFC 4543) | the sequence number |
//! | with an implicit IV (RFC 8750) | AES-CCM, AES-GCM, ChaCha20-Poly1305 | the sequence number, not sent |
//! | separate, with an integrity algorithm | AES-CTR (RFC 3686) | the sequence number |
//! | | AES-CBC (RFC 3602), Camellia-CBC (RFC 4312), 3DES-CBC (RFC 2451) | unpredictable: the sequence number, encrypted under a random key of the SA's own (NIST SP 800-38A appendix C) |
//! | | NULL (RFC 2410) | none |
//!
//! Keys are made ready once per SA, shared by threads, and nothing is allocated per packet. (ENCR_NULL_AUTH_AES_GMAC
//! with ESN copies the packet into a buffer of the thread's: GMAC takes what it signs in one piece.)

mod cipher;
mod combined;
mod opener;
mod packet;
mod sealer;
mod separate;
mod trailer;

pub use crate::error::{OpenError, SealError};
pub use crate::keys::{KeyError, KeyMaterial};
pub use opener::Opener;
pub use packet::Packet;
pub use sealer::Sealer;
pub use trailer::Trailer;

#[cfg(test)]
mod round_trip;
#[cfg(test)]
mod scapy;
#[cfg(test)]
mod vectors;
