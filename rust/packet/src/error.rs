//! What can be wrong with octets, with sealing and with opening.

/// Octets that are not the packet they claim to be; names the field that lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Malformed {
    /// The field, such as `ipv4.total_length`.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl Malformed {
    pub(crate) const fn new(field: &'static str, problem: &'static str) -> Self {
        Self { field, problem }
    }
}

/// Why a packet was not sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The cryptographic library refused, or the slot is not as long as `sealed_len` says.
    #[error("the cipher refused")]
    Refused,
    /// The IP packet would be longer than its length field can say.
    #[error("longer than an IP packet can be")]
    TooLong,
    /// Transport mode is for whole datagrams (RFC 4303 section 3.3.4, RFC 4302 section 3.3.4).
    #[error("a fragment in transport mode")]
    Fragment,
    /// The IP header has options or extension headers, which the header of the socket's making would not have.
    #[error("IP options or extension headers, which the socket's header cannot carry")]
    NotPlain,
    /// The IP packet is not one.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

impl From<caponier_cipher::Refused> for SealError {
    fn from(_: caponier_cipher::Refused) -> Self {
        Self::Refused
    }
}

/// Why a packet was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Too short for header, IV and ICV, or the ciphertext is not made of whole blocks.
    #[error("truncated")]
    Truncated,
    /// The integrity check failed.
    #[error("wrong integrity check value")]
    BadIcv,
    /// The padding is not 1, 2, 3, ... or longer than the packet.
    #[error("wrong padding")]
    BadPadding,
    /// Reassembly comes before ESP and AH (RFC 4303 section 3.4.1, RFC 4302 section 3.4.1).
    #[error("a fragment")]
    Fragment,
    /// The IP packet is not one, or not one of this protocol.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}
