//! How fast packets are sealed and opened in memory, on one thread, beside the bare cipher of the library.
//!
//! Both do the same on the same buffers: copy a payload (or a sealed packet) into the next slot of an arena of 64, as
//! the plane does, then encrypt (or decrypt) it there. The bare cipher is that of `aws-lc-rs`, a key made ready once,
//! with a nonce and associated data as ESP has them, but without headers, trailer, padding and checks. They run in
//! turns, each turn shorter than the slices of time that the system gives out, so that what else the machine does hits
//! both, and few turns. Each figure is the median of the turns, `relative` the median of the turns' own ratios, 1.0
//! where ESP costs nothing beside its cipher.
//!
//! `cargo run --release -p caponier-packet --example speed` writes JSON: nanoseconds for each packet.

use std::hint::black_box;
use std::time::{Duration, Instant};

use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{
    self, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext, UnboundCipherKey,
};
use aws_lc_rs::{constant_time, hmac};
use caponier_packet::esp::{Opener, Sealer};
use caponier_packet::sequence::Width;
use caponier_packet::KeyMaterial;

const SIZES: [usize; 6] = [64, 256, 512, 1400, 4096, 9000];
const SLOTS: usize = 64;
const RUNS: usize = 101;
const RUN: Duration = Duration::from_micros(200);
const KEY: [u8; 64] = [0x5a; 64];

type Step = Box<dyn FnMut(&mut [u8], u64)>;

/// What is done to a slot, and how long a slot is.
struct Contender {
    slot_len: usize,
    /// Where the payload is copied to.
    start: usize,
    seal: Step,
    open: Step,
}

struct Suite {
    name: &'static str,
    keys: KeyMaterial,
    bare: fn(usize) -> Contender,
}

fn suites() -> Vec<Suite> {
    let combined =
        |number, bits, length: usize| KeyMaterial::new(number, bits, &KEY[..length], 0, &[]);
    let cbc = |bits: u16, integrity, length: usize| {
        KeyMaterial::new(
            12,
            bits,
            &KEY[..usize::from(bits) / 8],
            integrity,
            &KEY[..length],
        )
    };
    vec![
        Suite {
            name: "aes128gcm16",
            keys: combined(20, 128, 20),
            bare: |size| bare_aead(&aead::AES_128_GCM, size),
        },
        Suite {
            name: "aes256gcm16",
            keys: combined(20, 256, 36),
            bare: |size| bare_aead(&aead::AES_256_GCM, size),
        },
        Suite {
            name: "chacha20poly1305",
            keys: combined(28, 0, 36),
            bare: |size| bare_aead(&aead::CHACHA20_POLY1305, size),
        },
        Suite {
            name: "aes128-sha256",
            keys: cbc(128, 12, 32),
            bare: |size| bare_cbc((&cipher::AES_128, 16), hmac::HMAC_SHA256, size),
        },
        Suite {
            name: "aes256-sha512",
            keys: cbc(256, 14, 64),
            bare: |size| bare_cbc((&cipher::AES_256, 32), hmac::HMAC_SHA512, size),
        },
        Suite {
            name: "aes128-sha1",
            keys: cbc(128, 2, 20),
            bare: |size| {
                bare_cbc(
                    (&cipher::AES_128, 16),
                    hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
                    size,
                )
            },
        },
    ]
}

fn esp(keys: &KeyMaterial, size: usize) -> Contender {
    let sealer = Sealer::new(0x1234_5678, keys, Width::Bits64).expect("a suite");
    let opener = Opener::new(keys, Width::Bits64).expect("a suite");
    Contender {
        slot_len: sealer.sealed_len(size),
        start: sealer.headroom(),
        seal: Box::new(move |slot, number| sealer.seal(slot, size, 4, number).expect("sealed")),
        open: Box::new(move |slot, number| {
            let accept = || Ok::<(), caponier_packet::OpenError>(());
            black_box(opener.open(slot, number, accept).expect("opened"));
        }),
    }
}

fn nonce(number: u64) -> Nonce {
    let mut nonce = [0; aead::NONCE_LEN];
    nonce[4..].copy_from_slice(&number.to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}

fn bare_aead(algorithm: &'static aead::Algorithm, size: usize) -> Contender {
    let key = || {
        let key = UnboundKey::new(algorithm, &KEY[..algorithm.key_len()]);
        LessSafeKey::new(key.expect("a key"))
    };
    let (sealing, opening) = (key(), key());
    let text = (size + 2).next_multiple_of(4);
    Contender {
        slot_len: text + 16,
        start: 0,
        seal: Box::new(move |slot, number| {
            let (text, icv) = slot.split_at_mut(text);
            let aad = Aad::from([1; 12]);
            let tag = sealing.seal_in_place_separate_tag(nonce(number), aad, text);
            icv.copy_from_slice(tag.expect("sealed").as_ref());
        }),
        open: Box::new(move |slot, number| {
            let aad = Aad::from([1; 12]);
            black_box(
                opening
                    .open_in_place(nonce(number), aad, slot)
                    .expect("opened"),
            );
        }),
    }
}

fn bare_cbc(
    (algorithm, key_len): (&'static cipher::Algorithm, usize),
    hash: hmac::Algorithm,
    size: usize,
) -> Contender {
    let key = || UnboundCipherKey::new(algorithm, &KEY[..key_len]).expect("a key");
    let encrypting = EncryptingKey::cbc(key()).expect("a key");
    let decrypting = DecryptingKey::cbc(key()).expect("a key");
    let mac_len = hash.digest_algorithm().output_len();
    let (signing, verifying) = (
        hmac::Key::new(hash, &KEY[..mac_len]),
        hmac::Key::new(hash, &KEY[..mac_len]),
    );
    let text = (size + 2).next_multiple_of(16);
    let icv_len = 16;
    Contender {
        slot_len: text + icv_len,
        start: 0,
        seal: Box::new(move |slot, number| {
            let (text, icv) = slot.split_at_mut(text);
            let iv = u128::from(number).to_be_bytes();
            let context = EncryptionContext::Iv128(iv.into());
            black_box(
                encrypting
                    .less_safe_encrypt(text, context)
                    .expect("encrypted"),
            );
            icv.copy_from_slice(&hmac::sign(&signing, text).as_ref()[..icv_len]);
        }),
        open: Box::new(move |slot, number| {
            let (text, icv) = slot.split_at_mut(text);
            let tag = hmac::sign(&verifying, text);
            let verified = constant_time::verify_slices_are_equal(&tag.as_ref()[..icv_len], icv);
            verified.expect("verified");
            let iv = u128::from(number).to_be_bytes();
            let context = DecryptionContext::Iv128(iv.into());
            black_box(decrypting.decrypt(text, context).expect("decrypted"));
        }),
    }
}

/// A contender with its arena.
struct Bench {
    contender: Contender,
    arena: Vec<u8>,
    payload: Vec<u8>,
    /// What each slot holds once it is sealed under its own number.
    sealed: Vec<u8>,
}

impl Bench {
    fn new(contender: Contender, size: usize) -> Self {
        let mut bench = Self {
            arena: vec![0; contender.slot_len * SLOTS],
            payload: (0..size).map(|at| at as u8).collect(),
            sealed: Vec::new(),
            contender,
        };
        bench.seal(SLOTS);
        bench.sealed = bench.arena.clone();
        bench
    }

    /// Seal this many packets, slot after slot.
    fn seal(&mut self, count: usize) {
        let Contender {
            slot_len, start, ..
        } = self.contender;
        for index in 0..count {
            let at = index % SLOTS * slot_len;
            let slot = &mut self.arena[at..at + slot_len];
            slot[start..start + self.payload.len()].copy_from_slice(&self.payload);
            (self.contender.seal)(slot, (index % SLOTS) as u64 + 1);
        }
    }

    /// Open this many packets.
    fn open(&mut self, count: usize) {
        let slot_len = self.contender.slot_len;
        for index in 0..count {
            let at = index % SLOTS * slot_len;
            let slot = &mut self.arena[at..at + slot_len];
            slot.copy_from_slice(&self.sealed[at..at + slot_len]);
            (self.contender.open)(slot, (index % SLOTS) as u64 + 1);
        }
    }
}

/// Nanoseconds for each packet.
fn time(bench: &mut Bench, work: fn(&mut Bench, usize), count: usize) -> f64 {
    let begin = Instant::now();
    work(bench, count);
    begin.elapsed().as_nanos() as f64 / count as f64
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Both in turns, one direction, as a JSON object.
fn compare(ours: &mut Bench, bare: &mut Bench, work: fn(&mut Bench, usize)) -> String {
    let once = time(ours, work, SLOTS).max(1.0);
    let count = (RUN.as_nanos() as f64 / once) as usize + 1;
    work(ours, count);
    work(bare, count);
    let runs: Vec<(f64, f64)> = (0..RUNS)
        .map(|_| (time(ours, work, count), time(bare, work, count)))
        .collect();
    let esp = median(runs.iter().map(|run| run.0).collect());
    let cipher = median(runs.iter().map(|run| run.1).collect());
    let relative = median(runs.iter().map(|run| run.1 / run.0).collect());
    format!(r#"{{"esp": {esp:.1}, "cipher": {cipher:.1}, "relative": {relative:.3}}}"#)
}

fn main() {
    let mut rows = Vec::new();
    for suite in suites() {
        for size in SIZES {
            let mut ours = Bench::new(esp(&suite.keys, size), size);
            let mut bare = Bench::new((suite.bare)(size), size);
            let seal = compare(&mut ours, &mut bare, Bench::seal);
            let open = compare(&mut ours, &mut bare, Bench::open);
            let name = suite.name;
            rows.push(format!(
                r#"    {{"suite": "{name}", "octets": {size}, "seal": {seal}, "open": {open}}}"#
            ));
        }
    }
    let rows = rows.join(",\n");
    println!("{{\n  \"unit\": \"ns per packet\",\n  \"runs\": {RUNS},\n  \"results\": [\n{rows}\n  ]\n}}");
}
