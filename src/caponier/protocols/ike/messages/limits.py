"""Our own limits on what one message may hold; not the RFC's, which sets none.

An IKE message may be 4 GiB long by its length field, and a stranger needs no key to send one
(RFC 7296 section 3.1). Everything that a decoder repeats is therefore bounded, here and only here.
Each limit is well above what peers in the field send, and low enough that the dearest message that
passes costs a few milliseconds.
"""

from __future__ import annotations

#: Octets of a message: neither a UDP datagram nor a TCP frame (RFC 9329 section 3.1) holds more.
MAX_MESSAGE = 65_535

#: Payloads of a message, and again inside of its Encrypted payload. Peers with many Vendor IDs and
#: notifications reach about 30.
MAX_PAYLOADS = 100

#: Proposals of an SA payload. The proposal number would allow 255; the longest offers seen have about 20.
MAX_PROPOSALS = 50

#: Transforms of one proposal. The count would allow 255; a proposal of every algorithm in the registry has about 100.
MAX_TRANSFORMS = 128

#: Transforms of one SA payload, over all proposals: comparing an offer with a policy costs as much as they are many.
MAX_TRANSFORMS_IN_ALL = 512

#: Attributes of one transform. One type is defined (Key Length), and a type may not be repeated.
MAX_TRANSFORM_ATTRIBUTES = 8

#: Traffic selectors of one TS payload. The count is one octet: this is all it can say.
MAX_TRAFFIC_SELECTORS = 255

#: SPIs of one Delete payload: all Child SAs of an IKE SA that we would ever allow, several times over.
MAX_DELETE_SPIS = 1_024

#: Attributes of one Configuration payload. Split DNS (RFC 8598) sends one for each domain.
MAX_CONFIGURATION_ATTRIBUTES = 256

#: Fragments of one message (RFC 7383): a message of the greatest length in datagrams of 576 octets has about 140.
MAX_FRAGMENTS = 255
