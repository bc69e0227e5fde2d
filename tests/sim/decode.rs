//! Reading IP packets as hosts do, strictly: what is read must encode to the very bytes that arrived.

use super::packets::{Body, Datagram, ICMP, ICMPV6, TCP, UDP, checksum};
use std::net::IpAddr;

/// Reads an IP packet; what lies behind it is Ethernet's padding.
///
/// # Errors
/// What is wrong with it: any length, any checksum, anything that no host here sends.
pub fn decode(bytes: &[u8]) -> Result<Datagram, String> {
    let (datagram, transport) = decode_ip(bytes)?;
    let packet = datagram.encode();
    let len = packet.len();
    if bytes.get(..len) != Some(&packet[..]) {
        return Err(format!("not what its fields say: {:02x?}\nencodes to {packet:02x?}", &bytes));
    }
    debug_assert!(transport.len() <= len);
    Ok(datagram)
}

/// Reads an IP packet whose checksums of the transport header are not looked at, as a quote's are.
pub(super) fn decode_ip(bytes: &[u8]) -> Result<(Datagram, &[u8]), String> {
    let short = || format!("short: {bytes:02x?}");
    let first = *bytes.first().ok_or_else(short)?;
    let word = |at: usize| bytes.get(at..at + 2).map(|b| u16::from_be_bytes([b[0], b[1]])).ok_or_else(short);
    let byte = |at: usize| bytes.get(at).copied().ok_or_else(short);
    if first == 0x45 {
        let len = word(2)? as usize;
        if checksum(&[bytes.get(..20).ok_or_else(short)?]) != 0 {
            return Err(format!("IPv4 header checksum: {:02x?}", &bytes[..20]));
        }
        let address = |at: usize| IpAddr::from(<[u8; 4]>::try_from(&bytes[at..at + 4]).unwrap());
        let transport = bytes.get(20..len.min(bytes.len())).ok_or_else(short)?;
        let datagram = Datagram {
            src: address(12),
            dst: address(16),
            ttl: byte(8)?,
            class: byte(1)?,
            label: word(4)?,
            dont_fragment: word(6)? & 0x4000 != 0,
            body: decode_body(byte(9)?, transport)?,
        };
        Ok((datagram, transport))
    } else if first >> 4 == 6 {
        let address = |at: usize| {
            bytes.get(at..at + 16).map(|b| IpAddr::from(<[u8; 16]>::try_from(b).unwrap())).ok_or_else(short)
        };
        let len = 40 + word(4)? as usize;
        let transport = bytes.get(40..len.min(bytes.len())).ok_or_else(short)?;
        let datagram = Datagram {
            src: address(8)?,
            dst: address(24)?,
            ttl: byte(7)?,
            class: first << 4 | byte(1)? >> 4,
            label: word(2)?,
            dont_fragment: true,
            body: decode_body(byte(6)?, transport)?,
        };
        Ok((datagram, transport))
    } else {
        Err(format!("not IP: {bytes:02x?}"))
    }
}

fn decode_body(protocol: u8, bytes: &[u8]) -> Result<Body, String> {
    let short = || format!("short transport header: {bytes:02x?}");
    let word = |at: usize| bytes.get(at..at + 2).map(|b| u16::from_be_bytes([b[0], b[1]])).ok_or_else(short);
    let long = |at: usize| Ok::<u32, String>((word(at)? as u32) << 16 | word(at + 2)? as u32);
    let tail = |at: usize| bytes.get(at..).map(<[u8]>::to_vec).ok_or_else(short);
    Ok(match protocol {
        UDP => Body::Udp { ports: (word(0)?, word(2)?), checked: word(6)? != 0, payload: tail(8)? },
        TCP => {
            let header = (*bytes.get(12).ok_or_else(short)? >> 4) as usize * 4;
            Body::Tcp {
                ports: (word(0)?, word(2)?),
                numbers: (long(4)?, long(8)?),
                flags: *bytes.get(13).ok_or_else(short)?,
                options: bytes.get(20..header).ok_or_else(short)?.to_vec(),
                payload: tail(header)?,
            }
        }
        ICMP | ICMPV6 => {
            let (kind, code) = ((word(0)? >> 8) as u8, word(0)? as u8);
            match (protocol, kind) {
                (ICMP, 8 | 0) | (ICMPV6, 128 | 129) => Body::Echo {
                    request: matches!(kind, 8 | 128),
                    identifier: word(4)?,
                    number: word(6)?,
                    payload: tail(8)?,
                },
                _ => Body::Error { kind, code, rest: long(4)?, quote: tail(8)? },
            }
        }
        other => return Err(format!("protocol {other}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_decodes_and_any_changed_bit_shows() {
        let bodies = [
            Body::Udp { ports: (1, 2), checked: true, payload: vec![7; 9] },
            Body::Tcp { ports: (1, 2), numbers: (3, 4), flags: 2, options: vec![1; 4], payload: vec![] },
            Body::Echo { request: true, identifier: 5, number: 6, payload: vec![1, 2, 3] },
            Body::Error { kind: 3, code: 1, rest: 9, quote: vec![4; 30] },
        ];
        for (src, dst) in [("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2")] {
            for body in bodies.clone() {
                let datagram = Datagram {
                    src: src.parse().unwrap(),
                    dst: dst.parse().unwrap(),
                    ttl: 9,
                    class: 0x28,
                    label: 77,
                    dont_fragment: true,
                    body,
                };
                let bytes = datagram.encode();
                assert_eq!(decode(&bytes).as_ref(), Ok(&datagram));
                let header = if src.contains(':') { 8 } else { 0 };
                for bit in header * 8..bytes.len() * 8 {
                    let mut changed = bytes.clone();
                    changed[bit / 8] ^= 1 << (bit % 8);
                    assert_ne!(decode(&changed).as_ref(), Ok(&datagram), "bit {bit}");
                }
            }
        }
    }
}
