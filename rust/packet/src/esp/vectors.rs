//! Published packets.

use super::{KeyMaterial, OpenError, Opener, Sealer, Trailer};
use crate::sequence::Width;
use crate::unhex;

/// Seal a plaintext that has its trailer under a given IV, as test cases have them; the packet.
pub(super) fn seal(
    keys: &KeyMaterial,
    width: Width,
    spi: u32,
    sequence: u64,
    iv: &[u8],
    plaintext: &[u8],
) -> Vec<u8> {
    let sealer = Sealer::new(spi, keys, width).expect("a suite");
    let trailer = Trailer::decode(plaintext).expect("a trailer");
    let mut slot = vec![0; sealer.sealed_len(trailer.payload_len)];
    slot[8..8 + iv.len()].copy_from_slice(iv);
    let start = sealer.headroom();
    assert_eq!(start, 8 + iv.len());
    slot[start..start + trailer.payload_len].copy_from_slice(&plaintext[..trailer.payload_len]);
    sealer
        .seal_behind_iv(
            &mut slot,
            trailer.payload_len,
            trailer.next_header,
            sequence,
        )
        .expect("sealed");
    slot
}

pub(super) fn open(
    keys: &KeyMaterial,
    width: Width,
    sequence: u64,
    packet: &[u8],
) -> Result<Vec<u8>, OpenError> {
    let opener = Opener::new(keys, width).expect("a suite");
    let mut packet = packet.to_vec();
    opener
        .decrypt(&mut packet, sequence)
        .map(|plaintext| packet[plaintext].to_vec())
}

/// RFC 3602 section 4, cases 5 to 8. They have no ICV; ours stands behind them.
#[test]
fn aes_cbc_of_rfc3602() {
    let counting = "08090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
         202122232425262728292a2b2c2d2e2f3031323334353637";
    let rows = [
        (
            "90d382b410eeba7ad938c46cec1a82bf",
            0x4321,
            1,
            "e96e8c08ab465763fd098d45dd3ff893",
            format!("08000ebda70a00008e9c083db95b0700{counting}0102030405060708090a0b0c0d0e0e01"),
            "f663c25d325c18c6a9453e194e120849a4870b66cc6b9965330013b4898dc856a4699e523a55db08
             0b59ec3a8e4b7e52775b07d1db34ed9c538ab50c551b874aa269add047ad2d5913ac19b7cfbad4a6",
        ),
        (
            "90d382b410eeba7ad938c46cec1a82bf",
            0x4321,
            8,
            "69d08df7d203329db093fc4924e5bd80",
            "0800b5e8a80a0500a69c083d0b660e0077777777777777777777777701020201".to_string(),
            "f51995881ec4e0c4488987ce742e8109689bb379d2d750c0d915dca346a89f75",
        ),
        (
            "0123456789abcdef0123456789abcdef",
            0x8765,
            2,
            "f4e765244f6407adf13dc1380f673f37",
            format!("45000054090400004001f988c0a87b03c0a87bc808009f76a90a0100b49c083d02a20400{counting}0102030405060708090a0a04"),
            "773b5241a4c449225e4f3ce5ed611b0c237ca96cf74a93013c1b0ea1a0cf70f8e4ecaec78ac53aad
             7a0f022b859243c647752e94a859352b8a4d4d2decd136e5c177f132ad3fbfb2201ac9904c74ee0a
             109e0ca1e4dfe9d5a100b842f1c22f0d",
        ),
        (
            "0123456789abcdef0123456789abcdef",
            0x8765,
            5,
            "85d47224b5f3dd5d2101d4ea8dffab22",
            "45000044090c00004001f990c0a87b03c0a87bc80800d63caa0a0200c69c083da3de0300ffffffff
             ffffffffffffffffffffffffffffffffffffffffffffffffffffffff0102030405060708090a0a04".to_string(),
            "15b92683819596a8047232cc00f7048fe45318e11f8a0f62ede3c3fc61203bb50f980a08c9843fd3
             a1b06d5c07ff9639b7eb7dfb3512e5de435e7207ed971ef3d2726d9b5ef6affc6d17a0decbb13892",
        ),
    ];
    for (key, spi, sequence, iv, plaintext, ciphertext) in rows {
        let keys = KeyMaterial::new(12, 128, &unhex(key), 12, &[7; 32]);
        let iv = unhex(iv);
        let packet = seal(&keys, Width::Bits32, spi, sequence, &iv, &unhex(&plaintext));
        let (packet_without_icv, _) = packet.split_last_chunk::<16>().expect("an ICV");
        let header = [spi.to_be_bytes(), (sequence as u32).to_be_bytes()].concat();
        assert_eq!(packet_without_icv, [header, iv, unhex(ciphertext)].concat());
        let opened = open(&keys, Width::Bits32, sequence, &packet);
        assert_eq!(opened, Ok(unhex(&plaintext)));
    }
}

/// RFC 3686 section 6, test vectors 2, 5 and 8: the text of two blocks begins the plaintext of a packet.
#[test]
fn aes_ctr_of_rfc3686() {
    let rows = [
        (
            128,
            "7e24067817fae0d743d6ce1f32539163",
            "006cb6db",
            "c0543b59da48d90b",
            "5104a106168a72d9790d41ee8edad388eb2e1efc46da57c8fce630df9141be28",
        ),
        (
            192,
            "7c5cb2401b3dc33c19e7340819e0f69c678c3db8e6f6a91a",
            "0096b03b",
            "020c6eadc2cb500d",
            "453243fc609b23327edfaafa7131cd9f8490701c5ad4a79cfc1fe0ff42f4fb00",
        ),
        (
            256,
            "f6d66d6bd52d59bb0796365879eff886c66dd51a5b6a99744b50590c87a23884",
            "00faac24",
            "c1585ef15a43d875",
            "f05e231b3894612c49ee000b804eb2a9b8306b508f839d6a5530831d9344af1c",
        ),
    ];
    for (bits, key, nonce, iv, ciphertext) in rows {
        let key = [unhex(key), unhex(nonce)].concat();
        let keys = KeyMaterial::new(13, bits, &key, 12, &[7; 32]);
        let mut plaintext: Vec<u8> = (0..32).collect();
        plaintext.extend([1, 2, 2, 59]);
        let packet = seal(&keys, Width::Bits32, 9, 1, &unhex(iv), &plaintext);
        assert_eq!(packet[16..48], unhex(ciphertext));
        assert_eq!(open(&keys, Width::Bits32, 1, &packet), Ok(plaintext));
    }
}

/// draft-mcgrew-gcm-test-01 section 4: whole packets under AES-GCM. An AAD of 12 octets is one with ESN.
#[test]
fn aes_gcm_of_draft_mcgrew_gcm_test() {
    let rows = [
        (
            "4c80cdefbb5d10da906ac73c3613a634",
            "2e443b684956ed7e3b244cfe",
            "000043218765432100000000",
            "45000048699a000080114db7c0a80102c0a801010a9bf15638d301000001000000000000045f7369
             70045f756470037369700963796265726369747902646b000021000101020201",
            "fecf537e729d5b07dc30df528dd22b768d1b98736696a6fd348509fa13ceac34cfa2436f14a3f3cf
             65925bf1f4a13c5d15b21e1884f5ff6247aeabb786b93bce61bc17d768fd9732459018148f6cbe72
             2fd04796562dfdb4",
        ),
        (
            "feffe9928665731c6d6a8f9467308308",
            "cafebabefacedbaddecaf888",
            "0000a5f80000000a",
            "4500003e698f000080114dccc0a80102c0a801010a980035002a2343b2d001000001000000000000
             037369700963796265726369747902646b00000100010001",
            "deb22cd9b07c72c16e3a65beeb8df304a5a5897d33ae530f1ba76d5d114d2a5c3de81827c10e9a4f
             51330d0eec416642cfbb85a5b47e48a4ec3b9ba95d918bd183b70d3aa8bc6ee4c309e9d85a41ad4a",
        ),
        (
            "abbccddef00112233445566778899aababbccddef00112233445566778899aab",
            "112233440102030405060708",
            "4a2cbfe300000002",
            "4500003069a6400080062690c0a801029389155e0a9e008b2dc57ee0000000007002400020bf0000
             020405b40101040201020201",
            "ff425c9b724599df7a3bcd510194e00d6a78107f1b0b1cbf06efae9d65a5d763748a637985771d34
             7f0545659f14e99def842d8eb335f4eecfdbf831824b4c4915956c96",
        ),
        (
            "00000000000000000000000000000000",
            "000000000000000000000000",
            "0000000000000001",
            "4500003c99c500008001cb7a40679318010101010800075c020044006162636465666768696a6b6c
             6d6e6f707172737475767761626364656667686901020201",
            "4688daf2f973a392732909c331d56d60f694abaa414b5e7ff5fdcdfff5e9a284456476492719ffb6
             4de7d9dca1e1d894bc3bd57873ed4d181d19d4d5c8c18af3f821d496eeb096e98ad2b69e4799c71d",
        ),
        (
            "3de09874b388e6491988d0c3607eae1f",
            "57690e434e280000a2fca1a3",
            "42f67e3f1010101010101010",
            "4500003c99c300008001cb7c40679318010101010800085c020043006162636465666768696a6b6c
             6d6e6f707172737475767761626364656667686901020201",
            "fba2caa4853cf9f0f22cb10d86dd83b0fec75691cf1a04b00d1138ec9c35791765acbd8701ad7984
             5bf9fe3fba487bc91755e6662b4c8d0d1f5e22739530320ae0d731cc978ecafaeae88f00e80d6e48",
        ),
        (
            "3de09874b388e6491988d0c3607eae1f",
            "57690e434e280000a2fca1a3",
            "42f67e3f1010101010101010",
            "4500001c42a200008001441f406793b6e00000020a00f5ff01020201",
            "fba2ca845e5df9f0f22c3e6e86dd831e1fc65792cd1af9130e1379ed369f071f35e034be95f112e4
             e7d05d35",
        ),
        (
            "feffe9928665731c6d6a8f9467308308feffe9928665731c",
            "cafebabefacedbaddecaf888",
            "0000a5f80000000a",
            "45000028a4ad4000400678800a01038f0a010612802306b8cb712602dd6bb03e501016d075680001",
            "a5b1f8066029aea40e598b8122de02420938b3ab33f828e687b8858b5bfbdbd0315b27452144cc77
             95457b9652037f5318027b5b4cd7a636",
        ),
        (
            "abbccddef00112233445566778899aab",
            "decaf888cafedebaceface74",
            "000001000000000000000001",
            "4500004933ba00007f119106c3fb1d10c2b1d326c02831ce0035dd7b800302d500004e20001e8c18
             d75b81dc91baa0476b91b924b280389d92c963bac046ec959b6266c04722b14923010101",
            "18a6fd42f72cbf4ab2a2ea901f73d814e3e7f243d95412e1c349c1d2fbec168f9190feebaf2cb019
             84e65863965d7472b79da345e0e780191f0d2f0e0f496c226f2127b27db35724e7845d68651f57e6
             5f354f75ff17015769623436",
        ),
        (
            "abbccddef00112233445566778899aababbccddef00112233445566778899aab",
            "73616c74616e640169766563",
            "17405e67156f3126dd0db99b",
            "45080028732c00004006e9f90a0106120a01038f06b88023dd6bafbecb71260250101f646d540001",
            "f2d69ecdbd5a0d5b8d5ef38bad4da58d1f278fde98ef67549d524a3018d9a57ff4d3a31ce673119e
             451626c2415771e3b7eebca614c89b35",
        ),
        (
            "3de09874b388e6491988d0c3607eae1f",
            "57690e434e280000a2fca1a3",
            "42f67e3f1010101010101010",
            "45000049333e00007f119182c3fb1d10c2b1d326c02831ce0035cb458003025b000001e0001e8c18
             d65759d52284a0352c71475c8880391c764d6e5ee0496b325ae270c03899493915010101",
            "fba2cad12fc1f9f00d3cebf305410db83d7784b607323d220f24b0a97d54182800cadb0f68d99ef0
             e0c0c89ae9bea8884e52d65bc1afd0740f742444747b5b39ab533163aad4550ee5160975cdb608c5
             769189609763b8e18caa81e2",
        ),
        (
            "abbccddef00112233445566778899aababbccddef00112233445566778899aab",
            "73616c74616e640169766563",
            "17405e67156f3126dd0db99b",
            "636973636f0172756c657301746865016e6574776501646566696e6501746865746563686e6f6c6f
             67696573017468617477696c6c01646566696e65746f6d6f72726f7701020201",
            "d4b7ed86a1777f2ea13d6973d324c69e7b43f826fb56831226508bebd2dceb18d0a6df10e5487df0
             74113e14c641024e3e6773d91a62ee429b043a10e3efe6b012a49363412364f8c0cac587f249e56b
             11e24f30e44ccc76",
        ),
        (
            "7d773d00c144c525ac619d18c84a3f47",
            "d966426743457e9182443bc6",
            "335467aeffffffff",
            "01020201",
            "437f866bcb3f699fe9b0822bac961c4504bef270",
        ),
        (
            "abbccddef00112233445566778899aab",
            "decaf888cafedebaceface74",
            "000001000000000000000001",
            "746f016265016f72016e6f7401746f0162650001",
            "29c9fc69a197d038ccdd14e2ddfcaa0543332164412503524303ed3c6c5f283843af8c3e",
        ),
        (
            "6c6567616c697a656d6172696a75616e61616e64646f69746265666f72656961",
            "7475726e333021696765746d",
            "796b6963ffffffffffffffff",
            "45000030da3a00008001df3bc0a80005c0a800010800c6cd020007006162636465666768696a6b6c
             6d6e6f707172737401020201",
            "f97ab2aa356d8edce17644ac8c78e25dd24dedbb29ebf1b64a274b39b49c3a864cd3d78ca4ae68a3
             2b42458fb57dbe821dcc63b9d0937ba2945f669368661a329fb4c053",
        ),
    ];
    for (key, nonce, aad, plaintext, sealed) in rows {
        let (nonce, aad, plaintext) = (unhex(nonce), unhex(aad), unhex(plaintext));
        let key = [unhex(key), nonce[..4].to_vec()].concat();
        let bits = (key.len() as u16 - 4) * 8;
        let keys = KeyMaterial::new(20, bits, &key, 0, &[]);
        let (spi, number) = aad.split_first_chunk().expect("an SPI");
        let spi = u32::from_be_bytes(*spi);
        let (width, sequence) = numbered(number);
        let packet = seal(&keys, width, spi, sequence, &nonce[4..], &plaintext);
        assert_eq!(packet[16..], unhex(sealed));
        assert_eq!(open(&keys, width, sequence, &packet), Ok(plaintext));
    }
}

/// A number of 4 or 8 octets.
fn numbered(octets: &[u8]) -> (Width, u64) {
    let value = octets
        .iter()
        .fold(0, |value, octet| value << 8 | u64::from(*octet));
    match octets.len() {
        4 => (Width::Bits32, value),
        _ => (Width::Bits64, value),
    }
}

/// draft-mcgrew-gcm-test-01 section 4, the case of AES-GMAC: the ICV covers the IV.
#[test]
fn aes_gmac_of_draft_mcgrew_gcm_test() {
    let key = unhex("4c80cdefbb5d10da906ac73c3613a63422433c64");
    let keys = KeyMaterial::new(21, 128, &key, 0, &[]);
    let plaintext = unhex(
        "45000030da3a00008001df3bc0a80005c0a800010800c6cd0200070061626364
         65666768696a6b6c6d6e6f707172737401020201",
    );
    let packet = seal(&keys, Width::Bits32, 0x4321, 7, &[0; 8], &plaintext);
    let expected = [
        unhex("00004321000000070000000000000000"),
        plaintext.clone(),
        unhex("f2a9a836e155106aa8dcd618e4099aaa"),
    ];
    assert_eq!(packet, expected.concat());
    assert_eq!(open(&keys, Width::Bits32, 7, &packet), Ok(plaintext));
}

/// RFC 7634 appendix A.
#[test]
fn chacha20_poly1305_of_rfc7634() {
    let mut key: Vec<u8> = (0x80..=0x9f).collect();
    key.extend([0xa0, 0xa1, 0xa2, 0xa3]);
    let keys = KeyMaterial::new(28, 0, &key, 0, &[]);
    let packet = unhex(
        "01020304000000051011121314151617
         24039428b97f417e3c13753a4f05087b67c352e6a7fab1b982d466ef407ae5c6
         14ee8099d52844eb61aa95dfab4c02f72aa71e7c4c4f64c9befe2facc638e8f3
         cbec163fac469b502773f6fb94e664da9165b82829f641e0
         76aaa8266b7fb0f7b11b369907e1ad43",
    );
    let iv = unhex("1011121314151617");
    let plaintext = open(&keys, Width::Bits32, 5, &packet).expect("opened");
    assert_eq!(plaintext[..4], [0x45, 0, 0, 0x54]);
    assert_eq!(plaintext[84..], [1, 2, 2, 4]);
    assert_eq!(
        seal(&keys, Width::Bits32, 0x0102_0304, 5, &iv, &plaintext),
        packet
    );
}

/// RFC 8750 section 4: the nonce is that of an explicit IV with the value of the number, the packet 8 octets shorter.
#[test]
fn implicit_ivs_of_rfc8750() {
    for (explicit, implicit, bits, salt) in [(14, 29, 128, 3), (20, 30, 256, 4), (28, 31, 256, 4)] {
        let key: Vec<u8> = (0..(bits / 8) as u8 + salt).collect();
        for (width, sequence) in [(Width::Bits32, 9), (Width::Bits64, 0x1_0000_0009)] {
            let plaintext = b"sixteen octets..payload\x00\x29";
            let plaintext = &plaintext[plaintext.len() - 24..];
            let explicit = KeyMaterial::new(explicit, bits, &key, 0, &[]);
            let implicit = KeyMaterial::new(implicit, bits, &key, 0, &[]);
            let iv = u64::to_be_bytes(sequence);
            let long = seal(&explicit, width, 300, sequence, &iv, plaintext);
            let short = seal(&implicit, width, 300, sequence, &[], plaintext);
            assert_eq!(short, [&long[..8], &long[16..]].concat());
            assert_eq!(
                open(&implicit, width, sequence, &short),
                Ok(plaintext.to_vec())
            );
        }
    }
}
