//! Opening with AH (RFC 4302 section 3.4).

use std::ops::Range;

use caponier_cipher::equal;

use super::authenticator::Authenticator;
use super::packet::{Packet, FIXED_LEN};
use super::sealer::{alignment, header_len, is_v6};
use super::{sign, SignError};
use crate::error::{Malformed, OpenError};
use crate::integrity::MAX_ICV;
use crate::keys::{KeyError, KeyMaterial};
use crate::protocol;
use crate::sequence::{Number, Width};
use crate::transform::Opened;
use crate::transport::{total_len, Place};

/// The inbound transform of one SA. Takes no care of replays.
pub struct Opener {
    width: Width,
    authenticator: Authenticator,
}

impl Opener {
    /// Make the key ready.
    pub fn new(keys: &KeyMaterial, width: Width) -> Result<Self, KeyError> {
        let authenticator = Authenticator::new(keys)?;
        Ok(Self {
            width,
            authenticator,
        })
    }

    /// How wide the sequence numbers are.
    #[inline]
    pub fn width(&self) -> Width {
        self.width
    }

    /// Open a packet of tunnel mode in place: the inner packet and its next header. `packet`: all of the IP packet.
    /// Other parameters: as [`crate::transform::Inbound::open`] has them.
    pub fn open_tunnel<E: From<OpenError>>(
        &self,
        packet: &mut [u8],
        sequence: u64,
        accept: impl FnOnce() -> Result<(), E>,
    ) -> Result<Opened, E> {
        let verified = self.verify(packet, sequence)?;
        accept()?;
        let payload = verified.payload;
        let start = verified.start;
        Ok(Opened {
            range: start + payload.start..start + payload.end,
            next_header: verified.next_header,
        })
    }

    /// Open a packet of transport mode in place: the packet as it was before AH. Parameters: as
    /// [`crate::transform::Inbound::open`] has them.
    pub fn open_transport<E: From<OpenError>>(
        &self,
        packet: &mut [u8],
        sequence: u64,
        accept: impl FnOnce() -> Result<(), E>,
    ) -> Result<Opened, E> {
        let verified = self.verify(packet, sequence)?;
        accept()?;
        let (start, next_header) = (verified.start, verified.next_header);
        let packet = &mut packet[start..];
        let restored = verified
            .place
            .restore(packet, verified.payload, next_header);
        let range = restored.map_err(OpenError::from)?;
        Ok(Opened {
            range: start + range.start..start + range.end,
            next_header,
        })
    }

    /// Verify the ICV. Nothing is changed but for a Fragment header that is taken out.
    fn verify(&self, packet: &mut [u8], sequence: u64) -> Result<Verified, OpenError> {
        let place = Place::of(packet, protocol::AH)?;
        let end = total_len(packet);
        let start = place.cut(&mut packet[..end])?;
        let packet = &mut packet[start..end];
        let at = place.headers_len();
        let header = Packet::new_checked(&packet[at..])?;
        let (header_len, next_header) = (header.header_len(), header.next_header());
        self.check_header_len(header_len, is_v6(packet))?;
        let number = Number {
            value: sequence,
            width: self.width,
        };
        self.verify_icv(packet, at, number)?;
        Ok(Verified {
            start,
            place,
            payload: at + header_len..packet.len(),
            next_header,
        })
    }

    /// RFC 4302 section 3.3.3.2.1: no more padding than the alignment needs, that of IPv6 in IPv4 too.
    fn check_header_len(&self, found: usize, is_v6: bool) -> Result<(), Malformed> {
        let expected = |is_v6| header_len(&self.authenticator, alignment(is_v6));
        if found == expected(is_v6) || found == expected(true) {
            return Ok(());
        }
        Err(Malformed::new("ah.payload_len", "not that of the SA's ICV"))
    }

    fn verify_icv(&self, packet: &mut [u8], at: usize, number: Number) -> Result<(), OpenError> {
        let start = at + FIXED_LEN + self.authenticator.iv_len();
        let field = start..start + self.authenticator.icv_len();
        let mut received = [0; MAX_ICV];
        let received = &mut received[..field.len()];
        received.copy_from_slice(&packet[field.clone()]);
        packet[field.clone()].fill(0);
        let expected = sign(&self.authenticator, packet, at, number);
        packet[field].copy_from_slice(received);
        match expected {
            Ok(expected) if equal(&expected[..received.len()], received) => Ok(()),
            Err(SignError::Malformed(malformed)) => Err(malformed.into()),
            _ => Err(OpenError::BadIcv),
        }
    }
}

/// A packet whose ICV was right.
struct Verified {
    /// Where the packet begins.
    start: usize,
    place: Place,
    /// What AH protects, from `start` on.
    payload: Range<usize>,
    next_header: u8,
}
