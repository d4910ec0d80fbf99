//! AH (RFC 4302): the header, and the transforms that seal and open packets with it.
//!
//! AH covers the IP header in front of it, so everything here works on whole IP packets: what is sealed leaves through
//! a socket that takes the IP header as it is (`IP_HDRINCL`, `IPV6_HDRINCL`), and what is opened comes from one that
//! gives it. A raw socket of protocol 51 would not do: the system would choose what the ICV must cover (identification,
//! options, extension headers), and of IPv6 it does not even show the header. What the system may still write are
//! fields that the ICV does not cover: TTL, DSCP, ECN, DF and the checksum of IPv4. It must find an identification
//! other than 0.
//!
//! * [`TunnelSealer`] puts a whole inner packet behind an outer header that its user gave, all of it.
//! * [`TransportSealer`] puts AH into the packet itself.
//! * [`Opener`] verifies either; the caller, who knows the SA's mode, unwraps or restores.
//!
//! Headers in front of AH may have up to 512 octets. Fragments are refused: reassembly comes first (section 3.4.1).
//! ICVs are padded so that AH has whole words of 32 bits in IPv4, of 64 bits in IPv6 (section 3.3.3.2.1); a receiver
//! takes 64 bits in IPv4 too, which Linux sends unless told otherwise.

mod authenticator;
mod mutable;
mod opener;
mod packet;
mod sealer;
mod tunnel;

pub use opener::Opener;
pub use packet::Packet;
pub use sealer::TransportSealer;
pub use tunnel::{OuterError, TunnelSealer};

use authenticator::Authenticator;
use caponier_cipher::Refused;

use crate::error::Malformed;
use crate::integrity::MAX_ICV;
use crate::sequence::Number;

#[cfg(test)]
pub(crate) mod round_trip;
#[cfg(test)]
mod vectors;

/// The most octets of headers in front of AH.
pub const MAX_HEADERS: usize = 512;

/// Compute the ICV of a whole packet with AH at `at`, whose ICV field is zeroed but for the IV. The headers are left as
/// they were.
fn sign(
    authenticator: &Authenticator,
    packet: &mut [u8],
    at: usize,
    number: Number,
) -> Result<[u8; MAX_ICV], SignError> {
    let mut saved = [0; MAX_HEADERS];
    let headers = packet.get_mut(..at).ok_or(Refused)?;
    let saved = saved.get_mut(..at).ok_or(TOO_LONG)?;
    saved.copy_from_slice(headers);
    let icv = match mutable::cover(headers) {
        Ok(()) => {
            let iv = at + packet::FIXED_LEN..at + packet::FIXED_LEN + authenticator.iv_len();
            let iv = packet.get(iv).ok_or(Refused)?;
            authenticator
                .sign(packet, iv, number)
                .map_err(SignError::from)
        }
        Err(malformed) => Err(malformed.into()),
    };
    packet[..at].copy_from_slice(saved);
    icv
}

const TOO_LONG: Malformed = Malformed::new("ip.headers", "more than 512 octets in front of AH");

/// Why there is no ICV.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SignError {
    Refused,
    Malformed(Malformed),
}

impl From<Refused> for SignError {
    fn from(_: Refused) -> Self {
        Self::Refused
    }
}

impl From<Malformed> for SignError {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}
