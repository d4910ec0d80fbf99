//! Padding, pad length and next header (RFC 4303 sections 2.4 to 2.6).

use crate::error::OpenError;

/// Octets of pad length and next header.
pub const LEN: usize = 2;

/// Every padding that there can be: 1, 2, 3, ... (RFC 4303 section 2.4).
const PADDING: [u8; 255] = {
    let mut octets = [0; 255];
    let mut at = 0;
    while at < 255 {
        octets[at] = at as u8 + 1;
        at += 1;
    }
    octets
};

/// The end of the plaintext.
///
/// ```text
/// |               |     Padding (0-255 octets)                    |
/// |                               |  Pad Length   | Next Header   |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trailer {
    /// Octets of payload in front of the padding.
    pub payload_len: usize,
    /// Protocol of the payload.
    pub next_header: u8,
}

impl Trailer {
    /// Read the end of a decrypted plaintext and inspect the padding, as RFC 4303 section 2.4 recommends.
    pub fn decode(plaintext: &[u8]) -> Result<Self, OpenError> {
        let [before @ .., pad_len, next_header] = plaintext else {
            return Err(OpenError::BadPadding);
        };
        let pad_len = usize::from(*pad_len);
        let payload_len = before
            .len()
            .checked_sub(pad_len)
            .ok_or(OpenError::BadPadding)?;
        if before[payload_len..] != PADDING[..pad_len] {
            return Err(OpenError::BadPadding);
        }
        Ok(Self {
            payload_len,
            next_header: *next_header,
        })
    }

    /// Write the trailer of a payload of `payload_len` octets, up to the end of `plaintext`.
    ///
    /// # Panics
    /// If less than 2 or more than 257 octets are left behind the payload.
    pub(super) fn encode(plaintext: &mut [u8], payload_len: usize, next_header: u8) {
        let tail = &mut plaintext[payload_len..];
        let pad_len = tail.len() - LEN;
        tail[..pad_len].copy_from_slice(&PADDING[..pad_len]);
        tail[pad_len] = pad_len as u8;
        tail[pad_len + 1] = next_header;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 4303 section 2.4: the padding is 1, 2, 3, ...
    #[test]
    fn pads_with_counting_octets() {
        let mut plaintext = [9u8; 8];
        Trailer::encode(&mut plaintext, 3, 4);
        assert_eq!(plaintext, [9, 9, 9, 1, 2, 3, 3, 4]);
    }

    /// RFC 4303 section 2.4: a receiver should inspect the padding.
    #[test]
    fn wrong_padding_is_refused() {
        for plaintext in [
            &[][..],
            &[4],
            &[1, 4],
            &[1, 3, 2, 4],
            &[0, 1, 4],
            &[1, 2, 3, 4, 4],
        ] {
            assert_eq!(Trailer::decode(plaintext), Err(OpenError::BadPadding));
        }
        let empty = Trailer {
            payload_len: 0,
            next_header: 59,
        };
        assert_eq!(Trailer::decode(&[0, 59]), Ok(empty));
    }

    proptest! {
        #[test]
        fn round_trip(payload_len in 0usize..100, pad_len in 0usize..=255, next_header: u8) {
            let mut plaintext = vec![7; payload_len + pad_len + 2];
            Trailer::encode(&mut plaintext, payload_len, next_header);
            prop_assert_eq!(Trailer::decode(&plaintext), Ok(Trailer { payload_len, next_header }));
        }

        #[test]
        fn junk_never_panics(plaintext in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Trailer::decode(&plaintext);
        }
    }
}
