//! Opening: from an ESP packet to its payload, in place (RFC 4303 section 3.4).

use std::ops::Range;

use super::cipher::{Layout, OpeningCipher};
use super::packet::HEADER_LEN;
use super::trailer::{self, Trailer};
use crate::error::OpenError;
use crate::keys::{KeyError, KeyMaterial};
use crate::sequence::{Number, Width};
use crate::transform::Opened;

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
    /// `sequence`: all of the number, whose upper half [`crate::esn::recover`] finds with ESN. On an error the octets
    /// are worthless.
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

    /// Open in place: payload with TFC padding, and next header. Parameters: as [`crate::transform::Inbound::open`] has
    /// them.
    #[inline]
    pub fn open<E: From<OpenError>>(
        &self,
        esp: &mut [u8],
        sequence: u64,
        accept: impl FnOnce() -> Result<(), E>,
    ) -> Result<Opened, E> {
        let plaintext = self.decrypt(esp, sequence)?;
        accept()?;
        let trailer = Trailer::decode(&esp[plaintext.clone()])?;
        Ok(Opened {
            range: plaintext.start..plaintext.start + trailer.payload_len,
            next_header: trailer.next_header,
        })
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
