//! Opening: from an ESP packet to its payload, in place (RFC 4303 section 3.4).

use std::ops::Range;

use super::cipher::{Aead, CbcOpening, Layout};
use super::keys::{KeyError, KeyMaterial};
use super::packet::HEADER_LEN;
use super::trailer;

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
    layout: Layout,
    cipher: Cipher,
}

enum Cipher {
    Aead(Aead),
    Cbc(Box<CbcOpening>),
}

impl Opener {
    /// Make the keys ready.
    pub fn new(keys: &KeyMaterial) -> Result<Self, KeyError> {
        let (layout, cipher) = match Aead::new(keys)? {
            Some(aead) => (Aead::layout(), Cipher::Aead(aead)),
            None => {
                let cbc = CbcOpening::new(keys)?;
                (cbc.layout(), Cipher::Cbc(cbc.into()))
            }
        };
        Ok(Self { layout, cipher })
    }

    /// Verify the ICV and decrypt. Returns where the plaintext with its trailer stands; the caller moves the replay
    /// window now, then reads [`super::Trailer::decode`].
    ///
    /// On an error the octets are worthless.
    pub fn decrypt(&self, esp: &mut [u8]) -> Result<Range<usize>, OpenError> {
        let plaintext = self.plaintext(esp.len()).ok_or(OpenError::Truncated)?;
        let opened = match &self.cipher {
            Cipher::Aead(aead) => aead.open(esp),
            Cipher::Cbc(cbc) => cbc.open(esp),
        };
        opened.map(|()| plaintext).map_err(|_| OpenError::BadIcv)
    }

    /// Where the plaintext of a packet of `length` octets stands; `None` if no packet has this length.
    fn plaintext(&self, length: usize) -> Option<Range<usize>> {
        let start = HEADER_LEN + self.layout.iv;
        let end = length.checked_sub(self.layout.icv)?;
        let text_len = end.checked_sub(start)?;
        let is_whole = text_len % self.layout.alignment == 0;
        (text_len >= trailer::LEN && is_whole).then_some(start..end)
    }
}
