//! Every combination of algorithms that ESP and AH take, for tests.

use crate::algorithms::{encryption, integrity};
use crate::keys::KeyMaterial;

/// Octets of the key of each integrity algorithm that goes with ESP.
const INTEGRITY: [(u16, usize); 7] = [
    (integrity::HMAC_MD5_96, 16),
    (integrity::HMAC_SHA1_96, 20),
    (integrity::AES_XCBC_96, 16),
    (integrity::AES_CMAC_96, 16),
    (integrity::HMAC_SHA2_256_128, 32),
    (integrity::HMAC_SHA2_384_192, 48),
    (integrity::HMAC_SHA2_512_256, 64),
];

/// Encryption algorithm, bits and octets of its key, for those that need an integrity algorithm.
const SEPARATE: [(u16, u16, usize); 11] = [
    (encryption::NULL, 0, 0),
    (encryption::TRIPLE_DES, 0, 24),
    (encryption::AES_CBC, 128, 16),
    (encryption::AES_CBC, 192, 24),
    (encryption::AES_CBC, 256, 32),
    (encryption::AES_CTR, 128, 20),
    (encryption::AES_CTR, 192, 28),
    (encryption::AES_CTR, 256, 36),
    (encryption::CAMELLIA_CBC, 128, 16),
    (encryption::CAMELLIA_CBC, 192, 24),
    (encryption::CAMELLIA_CBC, 256, 32),
];

/// Combined mode algorithms that have keys of 128, 192 and 256 bits, and the octets of their salts.
const COMBINED: [(u16, usize); 9] = [
    (encryption::AES_CCM_8, 3),
    (encryption::AES_CCM_12, 3),
    (encryption::AES_CCM_16, 3),
    (encryption::AES_GCM_8, 4),
    (encryption::AES_GCM_12, 4),
    (encryption::AES_GCM_16, 4),
    (encryption::NULL_AUTH_AES_GMAC, 4),
    (encryption::AES_CCM_8_IIV, 3),
    (encryption::AES_GCM_16_IIV, 4),
];

fn key(length: usize, seed: u8) -> Vec<u8> {
    (0..length)
        .map(|at| (at as u8).wrapping_mul(29).wrapping_add(seed))
        .collect()
}

/// Every combination of ESP.
pub(crate) fn esp() -> Vec<KeyMaterial> {
    let mut all = Vec::new();
    for (encryption, bits, length) in SEPARATE {
        for (integrity, octets) in INTEGRITY {
            let (first, second) = (key(length, 1), key(octets, 2));
            all.push(KeyMaterial::new(
                encryption, bits, &first, integrity, &second,
            ));
        }
    }
    for (encryption, salt) in COMBINED {
        for bits in [128, 192, 256] {
            let key = key(usize::from(bits) / 8 + salt, 3);
            all.push(KeyMaterial::new(
                encryption,
                bits,
                &key,
                integrity::NONE,
                &[],
            ));
        }
    }
    for encryption in [
        encryption::CHACHA20_POLY1305,
        encryption::CHACHA20_POLY1305_IIV,
    ] {
        all.push(KeyMaterial::new(
            encryption,
            0,
            &key(36, 4),
            integrity::NONE,
            &[],
        ));
    }
    all
}

/// Every algorithm of AH.
pub(crate) fn ah() -> Vec<KeyMaterial> {
    let gmac = [
        (integrity::AES_128_GMAC, 20),
        (integrity::AES_192_GMAC, 28),
        (integrity::AES_256_GMAC, 36),
    ];
    let all = INTEGRITY.into_iter().chain(gmac);
    all.map(|(integrity, length)| KeyMaterial::for_ah(integrity, &key(length, 5)))
        .collect()
}
