//! The headers in front of AH as the ICV covers them: as they will be at the receiver, and zero where nobody can know
//! (RFC 4302 section 3.3.3.1 and appendix A).

use crate::{ipv4, ipv6, protocol, Malformed};

/// IPv4 options that do not change on the way, with their copied bit and class (RFC 4302 appendix A1). All others are
/// zeroed, also those that nobody knows.
mod option {
    pub const END: u8 = 0;
    pub const NO_OPERATION: u8 = 1;
    pub const SECURITY: u8 = 130;
    pub const EXTENDED_SECURITY: u8 = 133;
    pub const COMMERCIAL_SECURITY: u8 = 134;
    pub const ROUTER_ALERT: u8 = 148;
    pub const MULTI_DESTINATION: u8 = 149;
    pub const LOOSE_SOURCE_ROUTE: u8 = 131;
    pub const STRICT_SOURCE_ROUTE: u8 = 137;
}

/// The bit in an IPv6 option's type that says that its data may change on the way (RFC 8200 section 4.2).
const MAY_CHANGE: u8 = 0x20;
/// The IPv6 option of one octet.
const PAD1: u8 = 0;
/// Routing headers whose addresses change places with the destination on the way: type 0 (RFC 2460 section 4.4) and
/// type 2 (RFC 6275 section 6.4).
const SWAPPING: [u8; 2] = [0, 2];

/// Change `headers`, all octets in front of AH, into what the ICV covers.
pub(super) fn cover(headers: &mut [u8]) -> Result<(), Malformed> {
    match headers.first().map(|first| first >> 4) {
        Some(4) => cover_v4(headers),
        Some(6) => cover_v6(headers),
        _ => Err(Malformed::new("ip.version", "neither 4 nor 6")),
    }
}

/// RFC 4302 section 3.3.3.1.1.1: DSCP and ECN, flags and fragment offset, TTL and checksum are zeroed.
fn cover_v4(header: &mut [u8]) -> Result<(), Malformed> {
    let (fixed, options) = header
        .split_first_chunk_mut::<{ ipv4::HEADER_LEN }>()
        .ok_or(Malformed::new("ipv4", "shorter than its header"))?;
    fixed[1] = 0;
    fixed[6..9].fill(0);
    fixed[10..12].fill(0);
    let mut rest = options;
    while let Some(kind) = rest.first().copied() {
        if kind == option::END {
            break; // what follows is padding, and covered
        }
        let length = match kind {
            option::NO_OPERATION => 1,
            _ => usize::from(*rest.get(1).unwrap_or(&0)),
        };
        let Some((option, next)) = rest.split_at_mut_checked(length).filter(|_| length > 0) else {
            return Err(Malformed::new("ipv4.options", "outside the header"));
        };
        cover_option(kind, option, &mut fixed[16..]);
        rest = next;
    }
    Ok(())
}

/// One IPv4 option, and the destination that a source route leads to.
fn cover_option(kind: u8, option: &mut [u8], destination: &mut [u8]) {
    match kind {
        option::NO_OPERATION
        | option::SECURITY
        | option::EXTENDED_SECURITY
        | option::COMMERCIAL_SECURITY
        | option::ROUTER_ALERT
        | option::MULTI_DESTINATION => return,
        option::LOOSE_SOURCE_ROUTE | option::STRICT_SOURCE_ROUTE => follow(option, destination),
        _ => {}
    }
    option.fill(0);
}

/// RFC 791 section 3.1: while the pointer is not beyond the route, its last address is where the packet will arrive.
fn follow(route: &[u8], destination: &mut [u8]) {
    let [_, length, pointer, addresses @ ..] = route else {
        return;
    };
    if let (Some(last), true) = (addresses.last_chunk::<4>(), pointer <= length) {
        destination.copy_from_slice(last);
    }
}

/// RFC 4302 section 3.3.3.1.2.1: traffic class, flow label and hop limit are zeroed.
fn cover_v6(headers: &mut [u8]) -> Result<(), Malformed> {
    let (fixed, mut rest) = headers
        .split_first_chunk_mut::<{ ipv6::HEADER_LEN }>()
        .ok_or(Malformed::new("ipv6", "shorter than its header"))?;
    let mut kind = fixed[6];
    fixed[..4].copy_from_slice(&[0x60, 0, 0, 0]);
    fixed[7] = 0;
    while let [next_header, length, ..] = *rest {
        let length = 8 + 8 * usize::from(length);
        let Some((extension, next)) = rest.split_at_mut_checked(length) else {
            return Err(Malformed::new(
                "ipv6.extension_length",
                "outside the packet",
            ));
        };
        match kind {
            protocol::HOP_BY_HOP | protocol::IPV6_OPTIONS => cover_options(&mut extension[2..])?,
            protocol::IPV6_ROUTE => arrive(extension, &mut fixed[24..])?,
            _ => {
                return Err(Malformed::new(
                    "ipv6.next_header",
                    "an extension header that AH does not know",
                ))
            }
        }
        (kind, rest) = (next_header, next);
    }
    Ok(())
}

/// RFC 4302 section 3.3.3.1.2.2: the data of options that may change are zeroed, their type and length are not.
fn cover_options(mut rest: &mut [u8]) -> Result<(), Malformed> {
    while let Some(kind) = rest.first().copied() {
        let length = match (kind, rest.get(1)) {
            (PAD1, _) => 1,
            (_, Some(data)) => 2 + usize::from(*data),
            (_, None) => 2,
        };
        let Some((option, next)) = rest.split_at_mut_checked(length) else {
            return Err(Malformed::new("ipv6.options", "outside the header"));
        };
        if kind & MAY_CHANGE != 0 {
            option[2..].fill(0);
        }
        rest = next;
    }
    Ok(())
}

/// RFC 4302 appendix A2: order a Routing header "so that it appears as it will at the receiver".
fn arrive(route: &mut [u8], destination: &mut [u8]) -> Result<(), Malformed> {
    let (kind, left) = (route[2], usize::from(route[3]));
    let mut addresses = route[8..].chunks_exact_mut(16);
    let count = addresses.len();
    if left == 0 {
        return Ok(()); // it has arrived
    }
    if !SWAPPING.contains(&kind) {
        return Err(Malformed::new(
            "ipv6.routing_type",
            "one whose arrival AH does not know",
        ));
    }
    let visited = count
        .checked_sub(left)
        .ok_or(Malformed::new("ipv6.segments_left", "more than there are"))?;
    for address in addresses.by_ref().skip(visited) {
        address.swap_with_slice(destination);
    }
    route[3] = 0;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn v4(options: &[u8]) -> Vec<u8> {
        let mut header = vec![
            0x40 + 5 + options.len() as u8 / 4,
            0xb9,
            1,
            2,
            3,
            4,
            0x40,
            0,
            63,
            51,
            0xab,
            0xcd,
            192,
            0,
            2,
            1,
            192,
            0,
            2,
            2,
        ];
        header.extend(options);
        header
    }

    fn covered(headers: &[u8]) -> Vec<u8> {
        let mut headers = headers.to_vec();
        assert_eq!(cover(&mut headers), Ok(()));
        headers
    }

    /// RFC 4302 section 3.3.3.1.1.1.
    #[test]
    fn mutable_fields_of_ipv4_are_zeroed() {
        let expected = [
            0x45, 0, 1, 2, 3, 4, 0, 0, 0, 51, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2,
        ];
        assert_eq!(covered(&v4(&[])), expected);
    }

    /// RFC 4302 appendix A1: the table.
    #[test]
    fn ipv4_options_follow_the_table() {
        let immutable = [130, 133, 134, 148, 149];
        let mutable = [131, 68, 7, 137, 82];
        let superseded = [136, 11, 12, 145, 10, 77, 142, 15, 144, 147];
        for kind in immutable {
            let option = [kind, 4, 9, 9];
            assert_eq!(covered(&v4(&option))[20..], option, "{kind}");
        }
        for kind in mutable.into_iter().chain(superseded).chain([99, 222]) {
            assert_eq!(covered(&v4(&[kind, 4, 9, 9]))[20..], [0; 4], "{kind}");
        }
        // No operation, router alert, record route, and what stands behind the end.
        let options = [1, 148, 4, 0, 0, 7, 7, 4, 1, 1, 1, 1, 0, 5, 6, 7];
        let expected = [1, 148, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 6, 7];
        assert_eq!(covered(&v4(&options))[20..], expected);
    }

    /// RFC 4302 section 3.3.3.1.1.1: with a source route, the destination is the one at the receiver.
    #[test]
    fn source_routes_lead_to_the_destination() {
        for kind in [131, 137] {
            let under_way = [kind, 11, 4, 10, 0, 0, 1, 10, 0, 0, 2, 0];
            let header = covered(&v4(&under_way));
            assert_eq!(header[16..20], [10, 0, 0, 2]);
            assert_eq!(header[20..], [0; 12]);
            let arrived = [kind, 11, 12, 10, 0, 0, 1, 10, 0, 0, 2, 0];
            assert_eq!(covered(&v4(&arrived))[16..20], [192, 0, 2, 2]);
            assert_eq!(covered(&v4(&[kind, 3, 4, 0]))[16..20], [192, 0, 2, 2]);
        }
    }

    fn v6(next_header: u8, extensions: &[u8]) -> Vec<u8> {
        let mut headers = vec![0x6b, 0x91, 2, 3, 0, 99, next_header, 64];
        headers.extend([0x11; 16]);
        headers.extend([0x22; 16]);
        headers.extend(extensions);
        headers
    }

    /// RFC 4302 section 3.3.3.1.2.1.
    #[test]
    fn mutable_fields_of_ipv6_are_zeroed() {
        let header = covered(&v6(51, &[]));
        assert_eq!(header[..8], [0x60, 0, 0, 0, 0, 99, 51, 0]);
        assert_eq!(header[8..], v6(51, &[])[8..]);
    }

    /// RFC 4302 section 3.3.3.1.2.2: the bit decides, and only the data are zeroed.
    #[test]
    fn ipv6_options_follow_their_bit() {
        let options = [60, 1, 5, 2, 7, 7, 0x3e, 3, 9, 9, 9, 0, 0x1e, 2, 8, 8];
        let more = [51, 0, 0x20, 1, 9, 1, 1, 0];
        let headers = covered(&v6(0, &[&options[..], &more].concat()));
        let expected = [60, 1, 5, 2, 7, 7, 0x3e, 3, 0, 0, 0, 0, 0x1e, 2, 8, 8];
        assert_eq!(headers[40..56], expected);
        assert_eq!(headers[56..], [51, 0, 0x20, 1, 0, 1, 1, 0]);
    }

    /// RFC 4302 appendix A2, RFC 2460 section 4.4: the addresses as a walk through the routers leaves them.
    #[test]
    fn routing_headers_arrive() {
        for (left, visited) in [(3, 0), (2, 1), (1, 2), (0, 3)] {
            // Before the first router: destination a, route b c d. At the receiver: destination d, route a b c.
            let mut addresses = [b'a', b'b', b'c', b'd'];
            for hop in 0..visited {
                addresses.swap(0, hop + 1);
            }
            let mut extension = vec![51, 6, 0, left, 0, 0, 0, 0];
            for address in &addresses[1..] {
                extension.extend([*address; 16]);
            }
            let mut headers = v6(43, &extension);
            headers[24..40].fill(addresses[0]);
            let headers = covered(&headers);
            assert_eq!(headers[24], b'd');
            assert_eq!([headers[48], headers[64], headers[80]], *b"abc");
            assert_eq!(headers[43], 0);
        }
    }

    #[test]
    fn what_cannot_be_covered_is_named() {
        let error = |headers: &[u8]| cover(&mut headers.to_vec()).map_err(|e| e.field);
        assert_eq!(error(&[]), Err("ip.version"));
        assert_eq!(error(&[0x45; 19]), Err("ipv4"));
        assert_eq!(error(&[0x60; 39]), Err("ipv6"));
        for options in [[7, 0, 0, 0], [7, 5, 0, 0], [1, 1, 1, 7]] {
            assert_eq!(error(&v4(&options)), Err("ipv4.options"));
        }
        assert_eq!(error(&v6(0, &[51, 1, 1, 4])), Err("ipv6.extension_length"));
        assert_eq!(
            error(&v6(0, &[51, 0, 5, 9, 0, 0, 0, 0])),
            Err("ipv6.options")
        );
        assert_eq!(
            error(&v6(44, &[51, 0, 0, 0, 0, 0, 0, 0])),
            Err("ipv6.next_header")
        );
        assert_eq!(
            error(&v6(43, &[51, 0, 4, 1, 0, 0, 0, 0])),
            Err("ipv6.routing_type")
        );
        assert_eq!(error(&v6(43, &[51, 0, 4, 0, 0, 0, 0, 0])), Ok(()));
        assert_eq!(
            error(&v6(43, &[51, 0, 0, 1, 0, 0, 0, 0])),
            Err("ipv6.segments_left")
        );
    }

    proptest! {
        #[test]
        fn junk_never_panics(mut headers in proptest::collection::vec(any::<u8>(), 0..200), kind in 0u8..61, six: bool) {
            if headers.len() > 7 {
                headers[0] = if six { 0x60 } else { 0x4f };
                headers[6] = kind;
            }
            let _ = cover(&mut headers);
        }
    }
}
