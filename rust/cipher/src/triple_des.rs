//! 3DES-CBC (RFC 2451).

use aws_lc_sys as ffi;
use zeroize::Zeroize;

use crate::Refused;

/// Octets of a block.
pub const BLOCK: usize = 8;
/// Octets of the three keys with their parity bits, which nobody looks at.
const KEY_LEN: usize = 24;

/// The three keys, for both directions.
pub struct TripleDes(Box<[ffi::DES_key_schedule; 3]>);

impl TripleDes {
    /// Make a key of 24 octets ready.
    pub fn new(key: &[u8]) -> Result<Self, Refused> {
        if key.len() != KEY_LEN {
            return Err(Refused);
        }
        let mut schedules = Box::new([ffi::DES_key_schedule::default(); 3]);
        let mut block = ffi::DES_cblock::default();
        for (schedule, part) in schedules.iter_mut().zip(key.chunks_exact(BLOCK)) {
            block.bytes.copy_from_slice(part);
            // SAFETY: both are live, one read, the other written.
            unsafe { ffi::DES_set_key_unchecked(&block, schedule) };
        }
        block.bytes.zeroize();
        Ok(Self(schedules))
    }

    /// Encrypt whole blocks in place.
    pub fn encrypt(&self, iv: &[u8; BLOCK], text: &mut [u8]) -> Result<(), Refused> {
        self.cbc(iv, text, ffi::DES_ENCRYPT)
    }

    /// Decrypt whole blocks in place.
    pub fn decrypt(&self, iv: &[u8; BLOCK], text: &mut [u8]) -> Result<(), Refused> {
        self.cbc(iv, text, ffi::DES_DECRYPT)
    }

    fn cbc(&self, iv: &[u8; BLOCK], text: &mut [u8], direction: i32) -> Result<(), Refused> {
        if text.len() % BLOCK != 0 {
            return Err(Refused);
        }
        let mut iv = ffi::DES_cblock { bytes: *iv };
        let [first, second, third] = &*self.0;
        // SAFETY: the text is made of whole blocks and is its own output; the keys are only read.
        unsafe {
            ffi::DES_ede3_cbc_encrypt(
                text.as_ptr(),
                text.as_mut_ptr(),
                text.len(),
                first,
                second,
                third,
                &mut iv,
                direction,
            );
        }
        Ok(())
    }
}

impl Drop for TripleDes {
    fn drop(&mut self) {
        for schedule in self.0.iter_mut() {
            schedule.subkeys.zeroize();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unhex;

    /// NIST CAVP, TDES Multi block Message Test for CBC (TCBCMMT3), counts 0 to 2.
    #[test]
    fn cbc_of_cavp() {
        let rows = [
            (
                "b5cb1504802326c73df186e3e352a20de643b0d63ee30e37",
                "43f791134c5647ba",
                "dcc153cef81d6f24",
                "92538bd8af18d3ba",
            ),
            (
                "a49d7564199e97cb529d2c9d97bf2f98d35edf57ba1f7358",
                "c2e999cb6249023c",
                "c689aee38a301bb316da75db36f110b5",
                "e9afaba5ec75ea1bbe65506655bb4ecb",
            ),
            (
                "1a5d4c0825072a15a8ad9dfdaeda8c048adffb85bc4fced0",
                "7fcfa736f7548b6f",
                "983c3edacd939406010e1bc6ff9e12320ac5008117fa8f84",
                "d84fa24f38cf451ca2c9adc960120bd8ff9871584fe31cee",
            ),
        ];
        for (key, iv, plaintext, ciphertext) in rows {
            let key = TripleDes::new(&unhex(key)).expect("a key");
            let iv = unhex(iv).try_into().expect("a block");
            let mut text = unhex(plaintext);
            assert_eq!(key.encrypt(&iv, &mut text), Ok(()));
            assert_eq!(text, unhex(ciphertext));
            assert_eq!(key.decrypt(&iv, &mut text), Ok(()));
            assert_eq!(text, unhex(plaintext));
        }
    }

    #[test]
    fn wrong_lengths_are_refused() {
        for length in [0, 8, 16, 23, 25] {
            assert!(TripleDes::new(&vec![0; length]).is_err());
        }
        let key = TripleDes::new(&[1; 24]).expect("a key");
        assert_eq!(key.encrypt(&[0; 8], &mut [0; 9]), Err(Refused));
        assert_eq!(key.decrypt(&[0; 8], &mut [0; 7]), Err(Refused));
    }
}
