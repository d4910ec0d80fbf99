//! Every kind of SA, sealed and opened as the plane does it.

use super::*;
use crate::ah::round_trip::{v4, v6};
use crate::keys::KeyMaterial;
use crate::segment::Plan;
use crate::suites;
use crate::transport::Form;
use crate::virtio::Header;
use proptest::prelude::*;

const SPI: u32 = 0x8000_0001;

/// The four kinds of SA, ESP's transport mode in both forms, with one suite.
fn pairs(
    esp: &KeyMaterial,
    ah: &KeyMaterial,
    width: Width,
    is_v6: bool,
) -> Vec<(Outbound, Inbound, Form)> {
    let sealer = || esp::Sealer::new(SPI, esp, width).expect("a suite");
    let opener = || esp::Opener::new(esp, width).expect("a suite");
    let transport = |form| {
        (
            Outbound::EspTransport(transport::Sealer::new(sealer(), form)),
            Inbound::EspTransport(transport::Opener::new(opener())),
            form,
        )
    };
    let outer = if is_v6 { v6(51, &[]) } else { v4(51, &[], &[]) };
    let tunnel = ah::TunnelSealer::new(SPI, ah, width, &outer).expect("a tunnel");
    let ah_transport = ah::TransportSealer::new(SPI, ah, width).expect("a suite");
    let ah = || ah::Opener::new(ah, width).expect("a suite");
    vec![
        (
            Outbound::EspTunnel(sealer()),
            Inbound::EspTunnel(opener()),
            Form::Bare,
        ),
        transport(Form::Whole),
        transport(Form::Bare),
        (
            Outbound::AhTunnel(tunnel),
            Inbound::AhTunnel(ah()),
            Form::Whole,
        ),
        (
            Outbound::AhTransport(ah_transport),
            Inbound::AhTransport(ah()),
            Form::Whole,
        ),
    ]
}

/// Seal as the plane does.
fn seal(outbound: &Outbound, packet: &[u8], sequence: u64) -> (Shape, Vec<u8>) {
    let inner = Inner::parse(packet).expect("a packet");
    let plan = Plan::new(&Header::default(), packet, &inner).expect("a plan");
    let shape = outbound
        .shape(&inner, packet, &Marking::default())
        .expect("a shape");
    let length = plan.length(0);
    let mut slot = vec![0xee; outbound.sealed_len(&shape, length)];
    let written = shape.headroom..shape.headroom + length - shape.skip;
    plan.write_behind(0, shape.skip, &mut slot[written]);
    outbound
        .seal(&mut slot, &shape, length, sequence)
        .expect("sealed");
    (shape, slot)
}

fn any_width() -> impl Strategy<Value = Width> {
    prop_oneof![Just(Width::Bits32), Just(Width::Bits64)]
}

proptest! {
    #[test]
    fn round_trip(
        esp in proptest::sample::select(suites::esp()),
        ah in proptest::sample::select(suites::ah()),
        width in any_width(),
        six: bool,
        payload in proptest::collection::vec(any::<u8>(), 0..1500),
        sequence: u64,
    ) {
        let sequence = sequence & width.last();
        let packet = if six { v6(17, &payload) } else { v4(17, &[], &payload) };
        for (outbound, inbound, form) in pairs(&esp, &ah, width, six) {
            let (shape, mut sealed) = seal(&outbound, &packet, sequence);
            prop_assert_eq!(inbound.peek(&sealed, form), Ok((SPI, sequence as u32)));
            prop_assert_eq!(inbound.width(), width);
            let mut accepted = 0;
            let opened = inbound.open::<OpenError>(&mut sealed, form, sequence, || {
                accepted += 1;
                Ok(())
            });
            let opened = opened.expect("opened");
            prop_assert_eq!(&sealed[opened.range], &packet[shape.skip..]);
            prop_assert_eq!(accepted, 1);
        }
    }

    /// RFC 4303 section 3.4.3: the window moves only after the ICV was verified, and its word counts.
    #[test]
    fn the_window_is_asked_after_the_icv(esp in proptest::sample::select(suites::esp()), ah in proptest::sample::select(suites::ah()), six: bool) {
        let packet = if six { v6(17, &[1; 50]) } else { v4(17, &[], &[1; 50]) };
        for (outbound, inbound, form) in pairs(&esp, &ah, Width::Bits32, six) {
            let (_, sealed) = seal(&outbound, &packet, 7);
            let refused = inbound.open(&mut sealed.clone(), form, 7, || Err(OpenError::Truncated));
            prop_assert_eq!(refused, Err(OpenError::Truncated));
            let mut forged = sealed;
            let last = forged.len() - 1;
            forged[last] ^= 1;
            let unasked = || -> Result<(), OpenError> { panic!("asked before the ICV was verified") };
            prop_assert_eq!(inbound.open(&mut forged, form, 7, unasked), Err(OpenError::BadIcv));
        }
    }

    /// RFC 4303 appendix A3.2: after a loss of more than 2^32 packets, the packet is opened under a later upper half,
    /// and the window follows; one from the past is not.
    #[test]
    fn the_receiver_comes_back_into_step(
        esp in proptest::sample::select(suites::esp()),
        ah in proptest::sample::select(suites::ah()),
        lost in 1u64..=esn::TRIALS + 1,
        lower: u32,
    ) {
        let packet = v4(17, &[], &[1; 50]);
        let recovered = 5 << 32 | u64::from(lower);
        let sent = recovered + (lost << 32);
        for (outbound, inbound, form) in pairs(&esp, &ah, Width::Bits64, false) {
            let (shape, sealed) = seal(&outbound, &packet, sent);
            let mut octets = sealed.clone();
            let opened = inbound.open::<OpenError>(&mut octets, form, recovered, || Ok(()));
            prop_assert_eq!(opened, Err(OpenError::BadIcv));
            let mut accepted = None;
            let opened = inbound.resynchronize::<OpenError>(&mut octets, &sealed, form, recovered, |number| {
                accepted = Some(number);
                Ok(())
            });
            if lost <= esn::TRIALS {
                prop_assert_eq!(&octets[opened.expect("opened").range], &packet[shape.skip..]);
                prop_assert_eq!(accepted, Some(sent));
            } else {
                prop_assert_eq!((opened, accepted), (Err(OpenError::BadIcv), None));
            }
            let past = inbound.resynchronize::<OpenError>(&mut octets, &sealed, form, sent, |_| Ok(()));
            prop_assert_eq!(past, Err(OpenError::BadIcv));
        }
    }

    #[test]
    fn junk_never_panics(junk in proptest::collection::vec(any::<u8>(), 0..100)) {
        let keys = KeyMaterial::new(20, 128, &[1; 20], 0, &[]);
        let ah = KeyMaterial::for_ah(12, &[1; 32]);
        for (_, inbound, form) in pairs(&keys, &ah, Width::Bits32, false) {
            let _ = inbound.peek(&junk, form);
            prop_assert!(inbound.open::<OpenError>(&mut junk.clone(), form, 7, || Ok(())).is_err());
        }
    }
}

/// RFC 4301 sections 5.1.2.1 and 8.1: what the outer header takes over from the inner one.
#[test]
fn the_shape_tells_of_the_outer_header() {
    let keys = KeyMaterial::new(20, 128, &[1; 20], 0, &[]);
    let tunnel = Outbound::EspTunnel(esp::Sealer::new(SPI, &keys, Width::Bits32).expect("a suite"));
    let mut packet = v4(17, &[], &[1; 50]);
    packet[1] = 0xba;
    let shape = |packet: &[u8], marking: &Marking| {
        let inner = Inner::parse(packet).expect("a packet");
        tunnel.shape(&inner, packet, marking).expect("a shape")
    };
    let copied = shape(&packet, &Marking::default());
    assert_eq!((copied.traffic_class, copied.dont_fragment), (0xba, true));
    let fixed = Marking {
        dscp: ecn::Dscp::Fixed(0),
        ecn: ecn::Encapsulation::Normal,
    };
    packet[6] = 0;
    let shaped = shape(&packet, &fixed);
    assert_eq!((shaped.traffic_class, shaped.dont_fragment), (0x02, false));
    assert!(shape(&v6(17, &[1; 50]), &fixed).dont_fragment);
}

/// RFC 4301 section 8.2: the longest packet that fits, and not one octet more.
#[test]
fn the_longest_packet_fits() {
    for esp in suites::esp() {
        for is_v6 in [false, true] {
            let ah = KeyMaterial::for_ah(13, &[1; 48]);
            let packet = if is_v6 {
                v6(17, &[1; 50])
            } else {
                v4(17, &[], &[1; 50])
            };
            let inner = Inner::parse(&packet).expect("a packet");
            for (outbound, ..) in pairs(&esp, &ah, Width::Bits32, is_v6) {
                let shape = outbound
                    .shape(&inner, &packet, &Marking::default())
                    .expect("a shape");
                for limit in 1380..1400 {
                    let longest = outbound.max_packet_len(&shape, limit).expect("a length");
                    assert!(outbound.sealed_len(&shape, longest) <= limit, "{esp:?}");
                    assert!(outbound.sealed_len(&shape, longest + 1) > limit, "{esp:?}");
                }
                assert_eq!(outbound.max_packet_len(&shape, 7), None);
            }
        }
    }
}

/// ESP in tunnel mode behind the IP header that a raw socket of IPv4 gives (raw(7)); AH is nothing without one.
#[test]
fn both_forms_of_a_tunnel_are_opened() {
    let esp = KeyMaterial::new(20, 128, &[1; 20], 0, &[]);
    let ah = KeyMaterial::for_ah(12, &[1; 32]);
    let packet = v4(17, &[], &[1; 50]);
    for (outbound, inbound, form) in pairs(&esp, &ah, Width::Bits32, false) {
        let (_, mut sealed) = seal(&outbound, &packet, 7);
        match inbound {
            Inbound::EspTunnel(_) => {
                let mut whole = v4(50, &[1; 8], &sealed);
                assert_eq!(inbound.peek(&whole, Form::Whole), Ok((SPI, 7)));
                let opened = inbound.open::<OpenError>(&mut whole, Form::Whole, 7, || Ok(()));
                assert_eq!(whole[opened.expect("opened").range], packet);
            }
            Inbound::EspTransport(_) => assert!(inbound.peek(&sealed, form).is_ok()),
            Inbound::AhTunnel(_) | Inbound::AhTransport(_) => {
                assert!(inbound.peek(&sealed, Form::Bare).is_err());
                let opened = inbound.open::<OpenError>(&mut sealed, Form::Bare, 7, || Ok(()));
                assert!(matches!(opened, Err(OpenError::Malformed(_))));
            }
        }
    }
}

/// The plane's threads share SAs.
#[test]
fn transforms_are_shared_by_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Outbound>();
    shared::<Inbound>();
}

/// A slot that is not as long as it should be is refused, not written beyond.
#[test]
fn slots_of_the_wrong_length_are_refused() {
    let esp = KeyMaterial::new(20, 128, &[1; 20], 0, &[]);
    let ah = KeyMaterial::for_ah(12, &[1; 32]);
    let packet = v4(17, &[], &[1; 50]);
    let inner = Inner::parse(&packet).expect("a packet");
    for (outbound, ..) in pairs(&esp, &ah, Width::Bits32, false) {
        let shape = outbound
            .shape(&inner, &packet, &Marking::default())
            .expect("a shape");
        let right = outbound.sealed_len(&shape, packet.len());
        for length in [0, 1, 20, right - 1, right + 1] {
            let sealed = outbound.seal(&mut vec![0; length], &shape, packet.len(), 1);
            assert_eq!(sealed, Err(SealError::Refused), "{length}");
        }
        assert!(outbound.seal(&mut vec![0; right], &shape, 3, 1).is_err());
    }
}
