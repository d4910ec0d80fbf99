//! Why packets are dropped.

use caponier_packet::esp::{OpenError, SealError};
use caponier_packet::{replay, Malformed};

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)+) => {
        /// Why a packet was dropped. The names are part of the interface: dashboards and tests know them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Drop {
            $($(#[$doc])* $name,)+
        }

        impl Drop {
            /// Every reason, in the order of the counters.
            pub const ALL: &'static [Drop] = &[$(Drop::$name,)+];

            /// Number of reasons.
            pub const COUNT: usize = Self::ALL.len();

            /// Whether something is wrong; a keepalive or a dummy does what it is for.
            pub fn is_fault(self) -> bool {
                !matches!(self, Self::Keepalive | Self::Dummy)
            }

            /// The stable name, such as `bad-icv`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Drop::$name => $text,)+
                }
            }
        }
    };
}

reasons! {
    /// Outbound: no policy matches (RFC 4301 section 5.1, step 2: discard).
    NoPolicy = "no-policy",
    /// Outbound: a DISCARD policy matches.
    DiscardPolicy = "discard-policy",
    /// Outbound: the policy protects but has no SA yet; an acquire was reported.
    NoSa = "no-sa",
    /// The inner packet is not IPv4 or IPv6 with consistent lengths, or its offload fields lie.
    MalformedInner = "malformed-inner",
    /// Outbound: the packet does not fit its way once it is protected (RFC 4301 section 8.2.1).
    TooBig = "too-big",
    /// A fragment in transport mode, which is for whole datagrams (RFC 4303 section 3.3.4), or one that was not
    /// reassembled before it came (section 3.4.1).
    Fragment = "fragment",
    /// Outbound, transport mode in UDP: the packet has IP options or extension headers, which the outer header, the
    /// system's, would not have.
    NotPlain = "not-plain",
    /// The hard lifetime of the SA is over (RFC 4301 section 4.4.2.1).
    Expired = "expired",
    /// Outbound: the sequence numbers of the SA are used up (RFC 4303 section 3.3.3).
    SequenceExhausted = "sequence-exhausted",
    /// Outbound: the cipher refused; never expected.
    CipherFailed = "cipher-failed",
    /// Inbound: no SA has this SPI (RFC 4303 section 3.4.2).
    UnknownSpi = "unknown-spi",
    /// Inbound: too short for the headers and the ICV of the SA.
    Truncated = "truncated",
    /// Inbound: the IP header or AH is malformed (RFC 4302 section 3.4).
    Malformed = "malformed",
    /// Inbound: the integrity check failed (RFC 4303 section 3.4.4).
    BadIcv = "bad-icv",
    /// Inbound: this sequence number was accepted before (RFC 4303 section 3.4.3).
    Replayed = "replayed",
    /// Inbound: left of the replay window (RFC 4303 section 3.4.3), or sequence number 0.
    TooOld = "too-old",
    /// Inbound: the padding is not 1, 2, 3, ... or longer than the packet (RFC 4303 section 2.4).
    BadPadding = "bad-padding",
    /// Inbound: a next header that tunnel mode does not carry.
    BadNextHeader = "bad-next-header",
    /// Inbound: the packet is outside the SA's selectors (RFC 4301 section 5.2, step 4). In both directions: in transport
    /// mode it has not the SA's addresses (section 4.1).
    SelectorMismatch = "selector-mismatch",
    /// Inbound: congestion on the way that the inner packet's sender cannot be told of (RFC 6040 figure 4).
    Congestion = "congestion",
    /// Inbound: a later fragment that would write over the TCP header of the first one (RFC 4301 section 7.2, RFC 1858).
    FragmentOverlap = "fragment-overlap",
    /// Inbound: the outer address family contradicts the SA.
    WrongEncapsulation = "wrong-encapsulation",
    /// Inbound: the TUN interface of the SA is no more.
    NoInterface = "no-interface",
    /// Inbound: a dummy packet for traffic flow confidentiality (next header 59); not an error.
    Dummy = "dummy",
    /// Inbound: a NAT keepalive, one octet 0xff (RFC 3948 section 2.3); not an error.
    Keepalive = "keepalive",
    /// Outbound: the queue of the TUN interface was full, for the workers did not keep up.
    QueueFull = "queue-full",
    /// Inbound: the buffer of a socket was full, for the workers did not keep up.
    SocketFull = "socket-full",
    /// The system refused to send the packet.
    SendFailed = "send-failed",
    /// The system refused to take the packet into the TUN interface.
    WriteFailed = "write-failed",
}

impl std::fmt::Display for Drop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::error::Error for Drop {}

impl From<Malformed> for Drop {
    fn from(_: Malformed) -> Self {
        Self::MalformedInner
    }
}

impl From<SealError> for Drop {
    fn from(error: SealError) -> Self {
        match error {
            SealError::TooLong => Self::TooBig,
            SealError::Fragment => Self::Fragment,
            SealError::NotPlain => Self::NotPlain,
            SealError::Malformed(_) => Self::MalformedInner,
            _ => Self::CipherFailed,
        }
    }
}

impl From<OpenError> for Drop {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Truncated => Self::Truncated,
            OpenError::BadPadding => Self::BadPadding,
            OpenError::Fragment => Self::Fragment,
            OpenError::Malformed(_) => Self::Malformed,
            _ => Self::BadIcv,
        }
    }
}

impl From<replay::Refused> for Drop {
    fn from(refused: replay::Refused) -> Self {
        match refused {
            replay::Refused::Replayed => Self::Replayed,
            replay::Refused::TooOld => Self::TooOld,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_in_order() {
        let names: HashSet<_> = Drop::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(names.len(), Drop::COUNT);
        for (at, reason) in Drop::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, at);
        }
    }
}
