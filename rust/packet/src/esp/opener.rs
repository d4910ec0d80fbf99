//! Opening: from an ESP packet to its payload, in place (RFC 4303 section 3.4).

use std::ops::Range;

use super::cipher::{Layout, OpeningCipher};
use super::packet::HEADER_LEN;
use super::trailer;
use crate::keys::{KeyError, KeyMaterial};
use crate::sequence::{Number, Width};

/// Why a packet was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Too short for header, IV and ICV, or the ciphertext is not made of whole blocks.
    #[error("truncated")]
    Truncated,
    /// The integrity check failed.
    #[error("wrong integrity check value")]
    BadIcv,
    /// The padding is not 1, 2, 3, ... or longer than the packet.
    #[error("wrong padding")]
    BadPadding,
}

/// The inbound transform of one SA. Takes no care of replays.
pub struct Opener {
    width: Width,
    layout: Layout,
    cipher: OpeningCipher,
}

impl Opener {
    /// Make the keys ready.
    pub fn new(keys: &KeyMaterial, width: Width) -> Result<Self, KeyError> {
        let (cipher, layout) = OpeningCipher::new(keys)?;
        Ok(Self {
            width,
            layout,
            cipher,
        })
    }

    /// How wide the sequence numbers are.
    #[inline]
    pub fn width(&self) -> Width {
        self.width
    }

    /// Verify the ICV and decrypt. Returns where the plaintext with its trailer stands; the caller moves the replay
    /// window now, then reads [`super::Trailer::decode`].
    ///
    /// `sequence`: all of the number, whose upper half [`crate::esn::recover`] finds with ESN. On an error the octets are
    /// worthless.
    #[inline]
    pub fn decrypt(&self, esp: &mut [u8], sequence: u64) -> Result<Range<usize>, OpenError> {
        let plaintext = self.plaintext(esp.len()).ok_or(OpenError::Truncated)?;
        let number = Number {
            value: sequence,
            width: self.width,
        };
        match self.cipher.open(esp, number) {
            Ok(()) => Ok(plaintext),
            Err(_) => Err(OpenError::BadIcv),
        }
    }

    /// Where the plaintext of a packet of `length` octets stands; `None` if no packet has this length.
    #[inline]
    fn plaintext(&self, length: usize) -> Option<Range<usize>> {
        let start = HEADER_LEN + self.layout.iv;
        let end = length.checked_sub(self.layout.icv)?;
        let text_len = end.checked_sub(start)?;
        let is_whole = text_len & (self.layout.alignment - 1) == 0;
        (text_len >= trailer::LEN && is_whole).then_some(start..end)
    }
}
