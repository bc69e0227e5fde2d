//! IP packets as hosts build and check them, apart from the code under test: plain, whole, and strict about every
//! length and checksum.

use std::fmt;
use std::net::IpAddr;

/// An IP packet with what it carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Source address.
    pub src: IpAddr,
    /// Destination address, of the same IP version.
    pub dst: IpAddr,
    /// TTL or hop limit.
    pub ttl: u8,
    /// DS field and ECN, or traffic class.
    pub class: u8,
    /// IPv4's identification; IPv6's flow label (its low 16 bits).
    pub label: u16,
    /// IPv4's "don't fragment"; IPv6: true.
    pub dont_fragment: bool,
    /// What it carries.
    pub body: Body,
}

/// What an IP packet carries.
#[derive(Clone, PartialEq, Eq)]
pub enum Body {
    /// UDP.
    Udp {
        /// Source and destination port.
        ports: (u16, u16),
        /// Whether it has a checksum.
        checked: bool,
        /// Data.
        payload: Vec<u8>,
    },
    /// TCP.
    Tcp {
        /// Source and destination port.
        ports: (u16, u16),
        /// Sequence and acknowledgement number.
        numbers: (u32, u32),
        /// Flags.
        flags: u8,
        /// Options, a multiple of four bytes.
        options: Vec<u8>,
        /// Data.
        payload: Vec<u8>,
    },
    /// ICMP or ICMPv6 echo.
    Echo {
        /// Request or reply.
        request: bool,
        /// Identifier.
        identifier: u16,
        /// Sequence number.
        number: u16,
        /// Data.
        payload: Vec<u8>,
    },
    /// An ICMP or ICMPv6 error.
    Error {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
        /// The four bytes before the quote.
        rest: u32,
        /// The packet that it is about, from its IP header on, perhaps cut.
        quote: Vec<u8>,
    },
}

impl fmt::Debug for Body {
    /// Without the payload's bytes but for the first.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Body::Udp { ports, checked, .. } => write!(f, "Udp {ports:?}, checked {checked}")?,
            Body::Tcp { ports, numbers, flags, options, .. } => {
                write!(f, "Tcp {ports:?}, numbers {numbers:?}, flags {flags:#x}, options {options:?}")?;
            }
            Body::Echo { request, identifier, number, .. } => {
                write!(f, "Echo, request {request}, identifier {identifier}, number {number}")?;
            }
            Body::Error { kind, code, rest, .. } => write!(f, "Error {kind}, {code}, {rest:#x}")?,
        }
        let payload = self.payload();
        write!(f, ", {} bytes {:02x?}…", payload.len(), &payload[..payload.len().min(16)])
    }
}

pub(super) const ICMP: u8 = 1;
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const ICMPV6: u8 = 58;

impl Body {
    /// The payload; of an error, the quote.
    pub fn payload(&self) -> &[u8] {
        match self {
            Body::Udp { payload, .. } | Body::Tcp { payload, .. } | Body::Echo { payload, .. } => payload,
            Body::Error { quote, .. } => quote,
        }
    }

    /// Source and destination port; an echo's identifier twice.
    pub fn ports(&self) -> (u16, u16) {
        match *self {
            Body::Udp { ports, .. } | Body::Tcp { ports, .. } => ports,
            Body::Echo { identifier, .. } => (identifier, identifier),
            Body::Error { .. } => (0, 0),
        }
    }

    /// The same with the segment size that a SYN was seen to offer, if that is lower: the overlay lowers it to what its
    /// paths carry.
    #[must_use]
    pub fn with_segments_of(mut self, seen: &Body) -> Body {
        if let (Body::Tcp { flags, options, .. }, Body::Tcp { options: seen, .. }) = (&mut self, seen)
            && *flags & 2 != 0
            && let ([2, 4, high, low], [2, 4, seen_high, seen_low]) =
                (options.as_mut_slice(), seen.as_slice())
            && u16::from_be_bytes([*seen_high, *seen_low]) < u16::from_be_bytes([*high, *low])
        {
            (*high, *low) = (*seen_high, *seen_low);
        }
        self
    }

    /// The same with other ports; of an echo, the identifier is the first.
    #[must_use]
    pub fn with_ports(&self, new: (u16, u16)) -> Body {
        let mut body = self.clone();
        match &mut body {
            Body::Udp { ports, .. } | Body::Tcp { ports, .. } => *ports = new,
            Body::Echo { identifier, .. } => *identifier = new.0,
            Body::Error { .. } => {}
        }
        body
    }

    /// Protocol number over an IP version.
    pub fn protocol(&self, v4: bool) -> u8 {
        match self {
            Body::Udp { .. } => UDP,
            Body::Tcp { .. } => TCP,
            _ if v4 => ICMP,
            _ => ICMPV6,
        }
    }
}

impl Datagram {
    /// Bytes of the IP packet.
    pub fn encode(&self) -> Vec<u8> {
        let v4 = self.src.is_ipv4();
        let protocol = self.body.protocol(v4);
        let (mut transport, checksum_at) = self.encode_body(v4);
        if let Some(at) = checksum_at {
            let covered = if protocol == ICMP { Vec::new() } else { self.pseudo_header(transport.len()) };
            let mut sum = checksum(&[&covered, &transport]);
            if protocol == UDP && sum == 0 {
                sum = 0xffff;
            }
            transport[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        }
        let mut bytes = Vec::new();
        match (self.src, self.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                bytes.extend([0x45, self.class]);
                bytes.extend((20 + transport.len() as u16).to_be_bytes());
                bytes.extend(self.label.to_be_bytes());
                bytes.extend([(self.dont_fragment as u8) << 6, 0, self.ttl, protocol, 0, 0]);
                bytes.extend(src.octets());
                bytes.extend(dst.octets());
                let sum = checksum(&[&bytes]);
                bytes[10..12].copy_from_slice(&sum.to_be_bytes());
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                bytes.extend((6u32 << 28 | (self.class as u32) << 20 | self.label as u32).to_be_bytes());
                bytes.extend((transport.len() as u16).to_be_bytes());
                bytes.extend([protocol, self.ttl]);
                bytes.extend(src.octets());
                bytes.extend(dst.octets());
            }
            _ => panic!("a packet between IP versions"),
        }
        bytes.extend(transport);
        bytes
    }

    fn encode_body(&self, v4: bool) -> (Vec<u8>, Option<usize>) {
        let mut bytes = Vec::new();
        match &self.body {
            Body::Udp { ports, checked, payload } => {
                bytes.extend(ports.0.to_be_bytes());
                bytes.extend(ports.1.to_be_bytes());
                bytes.extend((8 + payload.len() as u16).to_be_bytes());
                bytes.extend([0, 0]);
                bytes.extend(payload);
                (bytes, checked.then_some(6))
            }
            Body::Tcp { ports, numbers, flags, options, payload } => {
                bytes.extend(ports.0.to_be_bytes());
                bytes.extend(ports.1.to_be_bytes());
                bytes.extend(numbers.0.to_be_bytes());
                bytes.extend(numbers.1.to_be_bytes());
                bytes.extend([(5 + options.len() as u8 / 4) << 4, *flags, 0x20, 0x40, 0, 0, 0, 0]);
                bytes.extend(options);
                bytes.extend(payload);
                (bytes, Some(16))
            }
            Body::Echo { request, identifier, number, payload } => {
                let kind = match (v4, request) {
                    (true, true) => 8,
                    (true, false) => 0,
                    (false, true) => 128,
                    (false, false) => 129,
                };
                bytes.extend([kind, 0, 0, 0]);
                bytes.extend(identifier.to_be_bytes());
                bytes.extend(number.to_be_bytes());
                bytes.extend(payload);
                (bytes, Some(2))
            }
            Body::Error { kind, code, rest, quote } => {
                bytes.extend([*kind, *code, 0, 0]);
                bytes.extend(rest.to_be_bytes());
                bytes.extend(quote);
                (bytes, Some(2))
            }
        }
    }

    fn pseudo_header(&self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for address in [self.src, self.dst] {
            match address {
                IpAddr::V4(v4) => bytes.extend(v4.octets()),
                IpAddr::V6(v6) => bytes.extend(v6.octets()),
            }
        }
        bytes.extend((len as u32).to_be_bytes());
        bytes.extend([0, 0, 0, self.body.protocol(self.src.is_ipv4())]);
        bytes
    }
}

/// The Internet checksum of several pieces, each but the last of even length, computed as RFC 1071 tells it.
pub(super) fn checksum(pieces: &[&[u8]]) -> u16 {
    let mut sum = 0u64;
    for pair in pieces.iter().flat_map(|piece| piece.chunks(2)) {
        sum += u64::from(pair[0]) << 8 | u64::from(pair.get(1).copied().unwrap_or(0));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
