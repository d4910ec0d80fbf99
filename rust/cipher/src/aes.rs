//! AES (FIPS 197) in the modes that ESP and AH need it: CBC, CTR, and the chaining of CBC-MAC.

use aws_lc_sys as ffi;
use zeroize::Zeroize;

use crate::Refused;

/// Octets of a block.
pub const BLOCK: usize = 16;

/// How much CBC-MAC chains at a time.
const MAC_CHUNK: usize = 16 * BLOCK;

/// A key schedule. Boxed, so that no copy is left where it was moved from.
struct Schedule(Box<ffi::AES_KEY>);

impl Schedule {
    fn new() -> Self {
        Self(Box::new(ffi::AES_KEY {
            rd_key: [0; 60],
            rounds: 0,
        }))
    }
}

impl Drop for Schedule {
    fn drop(&mut self) {
        self.0.rd_key.zeroize();
    }
}

/// A key for the direction that encrypts.
pub struct AesEncrypt(Schedule);

/// A key for the direction that decrypts.
pub struct AesDecrypt(Schedule);

/// Bits of a key, where AES has that length.
fn bits(key: &[u8]) -> Result<std::os::raw::c_uint, Refused> {
    match key.len() {
        16 => Ok(128),
        24 => Ok(192),
        32 => Ok(256),
        _ => Err(Refused),
    }
}

/// Refuse what is not made of whole blocks.
fn whole(text: &[u8]) -> Result<(), Refused> {
    if text.len() % BLOCK == 0 {
        Ok(())
    } else {
        Err(Refused)
    }
}

impl AesEncrypt {
    /// Make a key of 16, 24 or 32 octets ready.
    pub fn new(key: &[u8]) -> Result<Self, Refused> {
        let bits = bits(key)?;
        let mut schedule = Schedule::new();
        // SAFETY: the key is readable for its bits, the schedule writable.
        match unsafe { ffi::AES_set_encrypt_key(key.as_ptr(), bits, &mut *schedule.0) } {
            0 => Ok(Self(schedule)),
            _ => Err(Refused),
        }
    }

    /// Encrypt one block in place.
    #[inline]
    pub fn block(&self, block: &mut [u8; BLOCK]) {
        // SAFETY: both pointers are of the one block; input and output may be the same.
        unsafe { ffi::AES_encrypt(block.as_ptr(), block.as_mut_ptr(), &*self.0 .0) }
    }

    /// Encrypt whole blocks in place (NIST SP 800-38A section 6.2).
    #[inline]
    pub fn cbc(&self, iv: &[u8; BLOCK], text: &mut [u8]) -> Result<(), Refused> {
        whole(text)?;
        let mut iv = *iv;
        // SAFETY: the text is made of whole blocks and is its own output; the IV is a block.
        unsafe {
            ffi::AES_cbc_encrypt(
                text.as_ptr(),
                text.as_mut_ptr(),
                text.len(),
                &*self.0 .0,
                iv.as_mut_ptr(),
                ffi::AES_ENCRYPT,
            );
        }
        Ok(())
    }

    /// Encrypt or decrypt in place, any length, from this counter block on (NIST SP 800-38A section 6.5).
    #[inline]
    pub fn ctr(&self, counter: &[u8; BLOCK], text: &mut [u8]) {
        let (mut counter, mut keystream, mut used) = (*counter, [0; BLOCK], 0);
        // SAFETY: the text is its own output; counter and key stream are blocks.
        unsafe {
            ffi::AES_ctr128_encrypt(
                text.as_ptr(),
                text.as_mut_ptr(),
                text.len(),
                &*self.0 .0,
                counter.as_mut_ptr(),
                keystream.as_mut_ptr(),
                &mut used,
            );
        }
    }

    /// Chain whole blocks into a CBC-MAC's state; what is left at the end, less than a block, is the answer.
    pub(crate) fn chain<'a>(&self, state: &mut [u8; BLOCK], octets: &'a [u8]) -> &'a [u8] {
        let (blocks, rest) = octets.split_at(octets.len() - octets.len() % BLOCK);
        let mut ciphertext = [0; MAC_CHUNK];
        for chunk in blocks.chunks(MAC_CHUNK) {
            // SAFETY: the chunk is made of whole blocks, no more than the output holds, and the state is a block, which
            // the library leaves as the last one of the ciphertext.
            unsafe {
                ffi::AES_cbc_encrypt(
                    chunk.as_ptr(),
                    ciphertext.as_mut_ptr(),
                    chunk.len(),
                    &*self.0 .0,
                    state.as_mut_ptr(),
                    ffi::AES_ENCRYPT,
                );
            }
        }
        rest
    }
}

impl AesDecrypt {
    /// Make a key of 16, 24 or 32 octets ready.
    pub fn new(key: &[u8]) -> Result<Self, Refused> {
        let bits = bits(key)?;
        let mut schedule = Schedule::new();
        // SAFETY: the key is readable for its bits, the schedule writable.
        match unsafe { ffi::AES_set_decrypt_key(key.as_ptr(), bits, &mut *schedule.0) } {
            0 => Ok(Self(schedule)),
            _ => Err(Refused),
        }
    }

    /// Decrypt whole blocks in place (NIST SP 800-38A section 6.2).
    #[inline]
    pub fn cbc(&self, iv: &[u8; BLOCK], text: &mut [u8]) -> Result<(), Refused> {
        whole(text)?;
        let mut iv = *iv;
        // SAFETY: as in `AesEncrypt::cbc`.
        unsafe {
            ffi::AES_cbc_encrypt(
                text.as_ptr(),
                text.as_mut_ptr(),
                text.len(),
                &*self.0 .0,
                iv.as_mut_ptr(),
                ffi::AES_DECRYPT,
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unhex;
    use proptest::prelude::*;

    fn block(digits: &str) -> [u8; 16] {
        unhex(digits).try_into().expect("a block")
    }

    /// RFC 3602 section 4, cases 1 to 4.
    #[test]
    fn cbc_of_rfc3602() {
        let rows = [
            (
                "06a9214036b8a15b512e03d534120006",
                "3dafba429d9eb430b422da802c9fac41",
                b"Single block msg".to_vec(),
                "e353779c1079aeb82708942dbe77181a",
            ),
            (
                "c286696d887c9aa0611bbb3e2025a45a",
                "562e17996d093d28ddb3ba695a2e6f58",
                (0x00..=0x1f).collect(),
                "d296cd94c2cccf8a3a863028b5e1dc0a7586602d253cfff91b8266bea6d61ab1",
            ),
            (
                "6c3ea0477630ce21a2ce334aa746c2cd",
                "c782dc4c098c66cbd9cd27d825682c81",
                b"This is a 48-byte message (exactly 3 AES blocks)".to_vec(),
                "d0a02b3836451753d493665d33f0e8862dea54cdb293abc7506939276772f8d5
                 021c19216bad525c8579695d83ba2684",
            ),
            (
                "56e47a38c5598974bc46903dba290349",
                "8ce82eefbea0da3c44699ed7db51b7d9",
                (0xa0..=0xdf).collect(),
                "c30e32ffedc0774e6aff6af0869f71aa0f3af07a9a31a9c684db207eb0ef8e4e
                 35907aa632c3ffdf868bb7b29d3d46ad83ce9f9a102ee99d49a53e87f4c3da55",
            ),
        ];
        for (key, iv, plaintext, ciphertext) in rows {
            let mut text = plaintext.clone();
            let encrypt = AesEncrypt::new(&unhex(key)).expect("a key");
            assert_eq!(encrypt.cbc(&block(iv), &mut text), Ok(()));
            assert_eq!(text, unhex(ciphertext));
            let decrypt = AesDecrypt::new(&unhex(key)).expect("a key");
            assert_eq!(decrypt.cbc(&block(iv), &mut text), Ok(()));
            assert_eq!(text, plaintext);
        }
    }

    /// RFC 3686 section 6, test vectors 1 to 9: nonce, IV and a counter from 1 are the counter block (section 4).
    #[test]
    fn ctr_of_rfc3686() {
        let rows = [
            (
                "ae6852f8121067cc4bf7a5765577f39e",
                "00000030",
                "0000000000000000",
                0,
                "e4095d4fb7a7b3792d6175a3261311b8",
            ),
            (
                "7e24067817fae0d743d6ce1f32539163",
                "006cb6db",
                "c0543b59da48d90b",
                32,
                "5104a106168a72d9790d41ee8edad388eb2e1efc46da57c8fce630df9141be28",
            ),
            (
                "7691be035e5020a8ac6e618529f9a0dc",
                "00e0017b",
                "27777f3f4a1786f0",
                36,
                "c1cf48a89f2ffdd9cf4652e9efdb72d74540a42bde6d7836d59a5ceaaef3105325b2072f",
            ),
            (
                "16af5b145fc9f579c175f93e3bfb0eed863d06ccfdb78515",
                "00000048",
                "36733c147d6d93cb",
                0,
                "4b55384fe259c9c84e7935a003cbe928",
            ),
            (
                "7c5cb2401b3dc33c19e7340819e0f69c678c3db8e6f6a91a",
                "0096b03b",
                "020c6eadc2cb500d",
                32,
                "453243fc609b23327edfaafa7131cd9f8490701c5ad4a79cfc1fe0ff42f4fb00",
            ),
            (
                "02bf391ee8ecb159b959617b0965279bf59b60a786d3e0fe",
                "0007bdfd",
                "5cbd60278dcc0912",
                36,
                "96893fc55e5c722f540b7dd1ddf7e758d288bc95c69165884536c811662f2188abee0935",
            ),
            (
                "776beff2851db06f4c8a0542c8696f6c6a81af1eec96b4d37fc1d689e6c1c104",
                "00000060",
                "db5672c97aa8f0b2",
                0,
                "145ad01dbf824ec7560863dc71e3e0c0",
            ),
            (
                "f6d66d6bd52d59bb0796365879eff886c66dd51a5b6a99744b50590c87a23884",
                "00faac24",
                "c1585ef15a43d875",
                32,
                "f05e231b3894612c49ee000b804eb2a9b8306b508f839d6a5530831d9344af1c",
            ),
            (
                "ff7a617ce69148e4f1726e2f43581de2aa62d9f805532edff1eed687fb54153d",
                "001cc5b7",
                "51a51d70a1c11148",
                36,
                "eb6c52821d0bbbf7ce7594462aca4faab407df866569fd07f48cc0b583d6071f1ec0e6b8",
            ),
        ];
        for (key, nonce, iv, counting, ciphertext) in rows {
            let plaintext: Vec<u8> = match counting {
                0 => b"Single block msg".to_vec(),
                length => (0..length).collect(),
            };
            let counter = block(&format!("{nonce}{iv}00000001"));
            let key = AesEncrypt::new(&unhex(key)).expect("a key");
            let mut text = plaintext.clone();
            key.ctr(&counter, &mut text);
            assert_eq!(text, unhex(ciphertext));
            key.ctr(&counter, &mut text);
            assert_eq!(text, plaintext);
        }
    }

    /// FIPS 197 appendix C.1 to C.3.
    #[test]
    fn blocks_of_fips_197() {
        let rows = [
            (16, "69c4e0d86a7b0430d8cdb78070b4c55a"),
            (24, "dda97ca4864cdfe06eaf70a0ec0d7191"),
            (32, "8ea2b7ca516745bfeafc49904b496089"),
        ];
        for (length, ciphertext) in rows {
            let key: Vec<u8> = (0..length).collect();
            let mut text = block("00112233445566778899aabbccddeeff");
            AesEncrypt::new(&key).expect("a key").block(&mut text);
            assert_eq!(text, block(ciphertext));
        }
    }

    #[test]
    fn wrong_lengths_are_refused() {
        for length in [0, 1, 15, 17, 33] {
            assert!(AesEncrypt::new(&vec![0; length]).is_err());
            assert!(AesDecrypt::new(&vec![0; length]).is_err());
        }
        let encrypt = AesEncrypt::new(&[0; 16]).expect("a key");
        assert_eq!(encrypt.cbc(&[0; 16], &mut [0; 17]), Err(Refused));
        let decrypt = AesDecrypt::new(&[0; 16]).expect("a key");
        assert_eq!(decrypt.cbc(&[0; 16], &mut [0; 15]), Err(Refused));
        assert_eq!(decrypt.cbc(&[0; 16], &mut []), Ok(()));
    }

    proptest! {
        #[test]
        fn round_trip(key_len in 2usize..=4, blocks in 0usize..100, iv: [u8; 16], seed: u8) {
            let key = vec![seed; key_len * 8];
            let plaintext: Vec<u8> = (0..blocks * 16).map(|at| (at as u8).wrapping_mul(seed)).collect();
            let mut text = plaintext.clone();
            AesEncrypt::new(&key).expect("a key").cbc(&iv, &mut text).expect("whole blocks");
            AesDecrypt::new(&key).expect("a key").cbc(&iv, &mut text).expect("whole blocks");
            prop_assert_eq!(text, plaintext);
        }
    }
}
