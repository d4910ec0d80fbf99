//! Packets of an independent implementation.

use super::{Opener, TransportSealer, TunnelSealer};
use crate::error::OpenError;
use crate::keys::KeyMaterial;
use crate::sequence::Width;
use crate::transform::Opened;
use crate::unhex;

const SPI: u32 = 0x1234_abcd;

struct Case {
    integrity: u16,
    key_len: u8,
    has_esn: bool,
    before: &'static str,
    after: &'static str,
}

impl Case {
    fn keys(&self) -> KeyMaterial {
        let key: Vec<u8> = (0x40..0x40 + self.key_len).collect();
        KeyMaterial::for_ah(self.integrity, &key)
    }

    fn number(&self) -> (Width, u64) {
        match self.has_esn {
            true => (Width::Bits64, 0x5_0102_0304),
            false => (Width::Bits32, 0x0102_0304),
        }
    }

    fn opener(&self) -> Opener {
        Opener::new(&self.keys(), self.number().0).expect("a key")
    }
}

fn accept() -> Result<(), OpenError> {
    Ok(())
}

const fn case(
    integrity: u16,
    key_len: u8,
    has_esn: bool,
    before: &'static str,
    after: &'static str,
) -> Case {
    Case {
        integrity,
        key_len,
        has_esn,
        before,
        after,
    }
}

/// Packets of transport mode made by scapy 2.8 (`scapy.layers.ipsec`), an implementation of its own: number 0x01020304,
/// with ESN 0x0501020304, the key counting from 0x40. Source routes of IPv4 are not among them: scapy leaves the
/// destination as it is, against section 3.3.3.1.1.1.
const TRANSPORT: &[Case] = &[
    case(
        2,
        20,
        false,
        "45b90032000740003f11b6f7c0000201c000020213881389001e424f776861742061206361706f6e69657220
         636f76657273",
        "45b9004a000740003f33b6bdc0000201c0000202110400001234abcd010203044fd9eeecb309a188b74d66c7
         13881389001e424f776861742061206361706f6e69657220636f76657273",
    ),
    case(
        1,
        16,
        false,
        "45b90032000740003f11b6f7c0000201c000020213881389001e424f776861742061206361706f6e69657220
         636f76657273",
        "45b9004a000740003f33b6bdc0000201c0000202110400001234abcd01020304d860e0628bbb7570280a8a46
         13881389001e424f776861742061206361706f6e69657220636f76657273",
    ),
    case(
        8,
        16,
        true,
        "45b90032000740003f11b6f7c0000201c000020213881389001e424f776861742061206361706f6e69657220
         636f76657273",
        "45b9004a000740003f33b6bdc0000201c0000202110400001234abcd01020304d921e89730a649e15ae9cf16
         13881389001e424f776861742061206361706f6e69657220636f76657273",
    ),
    case(
        12,
        32,
        false,
        "49b90042000740003f1110c3c0000201c000020294040000070b040a0000010a0000020113881389001e424f
         776861742061206361706f6e69657220636f76657273",
        "49b9005e000740003f331085c0000201c000020294040000070b040a0000010a00000201110500001234abcd
         01020304efe1c41bcb26b3846a7bfba3f0b3199513881389001e424f776861742061206361706f6e69657220
         636f76657273",
    ),
    case(
        2,
        20,
        false,
        "6b912345001e113f20010db800000000000000000000000120010db800000000000000000000000213881389
         001e6ade776861742061206361706f6e69657220636f76657273",
        "6b9123450036333f20010db800000000000000000000000120010db800000000000000000000000211040000
         1234abcd010203040f67d20af97e6688af814f9813881389001e6ade776861742061206361706f6e69657220
         636f76657273",
    ),
    case(
        12,
        32,
        true,
        "6b912345001e113f20010db800000000000000000000000120010db800000000000000000000000213881389
         001e6ade776861742061206361706f6e69657220636f76657273",
        "6b912345003e333f20010db800000000000000000000000120010db800000000000000000000000211060000
         1234abcd010203047c3d9361a3ac2c8583ccfe878049335b0000000013881389001e6ade7768617420612063
         61706f6e69657220636f76657273",
    ),
    case(
        12,
        32,
        false,
        "6b9123450036003f20010db800000000000000000000000120010db80000000000000000000000023c010502
         00003e04616263640102000011001e047778797a13881389001e6ade776861742061206361706f6e69657220
         636f76657273",
        "6b9123450056003f20010db800000000000000000000000120010db80000000000000000000000023c010502
         00003e04616263640102000033001e047778797a110600001234abcd010203048d7e597982ade203dcfde7d1
         38a7c6ea0000000013881389001e6ade776861742061206361706f6e69657220636f76657273",
    ),
    case(
        12,
        32,
        false,
        "6b912345004e3c3f20010db800000000000000000000000120010db80000000000000000000000022b003e04
         7778797a110400020000000020010db800000000000000000000000a20010db800000000000000000000000b
         13881389001e6ad5776861742061206361706f6e69657220636f76657273",
        "6b912345006e3c3f20010db800000000000000000000000120010db80000000000000000000000022b003e04
         7778797a330400020000000020010db800000000000000000000000a20010db800000000000000000000000b
         110600001234abcd010203044043c4e67a17de4861e70e50424549bc0000000013881389001e6ad577686174
         2061206361706f6e69657220636f76657273",
    ),
];

/// Packets of tunnel mode, by the same.
const TUNNEL: &[Case] = &[
    case(
        13,
        48,
        false,
        "45000032000900003c116aad0a0100010a02000213881389001eb24d776861742061206361706f6e69657220
         636f76657273",
        "4500006a000700004033f656c0000201c0000202040700001234abcd0102030415cdc3624276004d47fd3060
         bbdf66a49d14090db9bbf3c945000032000900003c116aad0a0100010a02000213881389001eb24d77686174
         2061206361706f6e69657220636f76657273",
    ),
    case(
        14,
        64,
        true,
        "60000000001e114020010db800000000000000000000000120010db800000000000000000000000213881389
         001e6ade776861742061206361706f6e69657220636f76657273",
        "45000086000700004033f63ac0000201c0000202290900001234abcd010203045f558d000800feb70ca1c1f3
         8fc0be7d8ee36f37ea325485720c0a64159d732b60000000001e114020010db8000000000000000000000001
         20010db800000000000000000000000213881389001e6ade776861742061206361706f6e69657220636f7665
         7273",
    ),
    case(
        14,
        64,
        false,
        "45000032000900003c116aad0a0100010a02000213881389001eb24d776861742061206361706f6e69657220
         636f76657273",
        "600000000062334020010db800000000000000000000000120010db8000000000000000000000002040a0000
         1234abcd01020304e1a623b114d6e5c4d790b0c1d106a09faaa0af942cd1e14483c48917be44a97200000000
         45000032000900003c116aad0a0100010a02000213881389001eb24d776861742061206361706f6e69657220
         636f76657273",
    ),
];

/// RFC 4302 section 3.1.1, with options of IPv4 (appendix A1), options and Routing header of IPv6 (appendix A2),
/// padding (section 3.3.3.2.1) and ESN (section 3.3.3.2.2).
#[test]
fn transport_mode_of_scapy() {
    for case in TRANSPORT {
        let (width, sequence) = case.number();
        let (before, after) = (unhex(case.before), unhex(case.after));
        let is_v6 = before[0] >> 4 == 6;
        let sealer = TransportSealer::new(SPI, &case.keys(), width).expect("a key");
        let place = sealer.place(&before).expect("a place");
        let mut slot = vec![0xee; sealer.sealed_len(&place, before.len())];
        let start = sealer.headroom(&place);
        slot[start..].copy_from_slice(&before);
        assert_eq!(
            sealer.seal(&mut slot, &place, before.len(), sequence),
            Ok(())
        );
        // Scapy leaves destination options in front of AH, which protects them here.
        let is_reordered = before[6] == 0 && is_v6;
        assert_eq!(slot == after, !is_reordered, "{}", case.after);
        for mut packet in [slot, after] {
            let opened = case.opener().open_transport(&mut packet, sequence, accept);
            let Opened { range, .. } = opened.expect("opened");
            assert_eq!(packet[range], before, "{}", case.after);
        }
    }
}

/// RFC 4302 section 3.1.2, with both IP versions in both.
#[test]
fn tunnel_mode_of_scapy() {
    for case in TUNNEL {
        let (width, sequence) = case.number();
        let (before, after) = (unhex(case.before), unhex(case.after));
        let outer_len = if after[0] >> 4 == 6 { 40 } else { 20 };
        let sealer = TunnelSealer::new(SPI, &case.keys(), width, &after[..outer_len]);
        let sealer = sealer.expect("a tunnel");
        let mut slot = vec![0xee; sealer.sealed_len(before.len())];
        slot[sealer.headroom()..].copy_from_slice(&before);
        let next_header = if before[0] >> 4 == 6 { 41 } else { 4 };
        assert_eq!(
            sealer.seal(&mut slot, next_header, 0, false, sequence),
            Ok(())
        );
        for mut packet in [slot.clone(), after.clone()] {
            let opened = case.opener().open_tunnel(&mut packet, sequence, accept);
            let opened = opened.expect("opened");
            assert_eq!(packet[opened.range], before);
            assert_eq!(opened.next_header, next_header);
        }
        if outer_len == 40 {
            assert_eq!(slot, after); // of IPv4 the identification is ours
        }
    }
}
