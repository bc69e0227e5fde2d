//! TCP's maximum segment size, lowered in passing (RFC 9293 section 3.7.1), so that a connection whose way is narrower
//! than both hosts think needs no ICMP error to find out.
//!
//! ```text
//!  +--------+--------+--------+--------+
//!  | kind 2 | len 4  | max. segment sz |      option in a SYN
//!  +--------+--------+--------+--------+
//! ```

use crate::IpVersion;
use crate::checksum::Delta;
use crate::ip::{Ipv4, Ipv6};
use crate::transport::Tcp;

const TCP_LEN: usize = 20;
const END: u8 = 0;
const NO_OPERATION: u8 = 1;
const MAXIMUM_SEGMENT_SIZE: u8 = 2;

/// The largest segment whose packet has at most `mtu` bytes, as the option counts it: without IP and TCP options
/// (RFC 6691). 0 where not even headers fit.
pub fn of_mtu(version: IpVersion, mtu: u16) -> u16 {
    let ip = if version == IpVersion::V4 { Ipv4::LEN } else { Ipv6::LEN };
    mtu.saturating_sub((ip + TCP_LEN) as u16)
}

/// Lowers every maximum segment size that the TCP header at the start of `tcp` announces to `most`, and brings the
/// checksum up to date by the difference (RFC 1624): one that was wrong stays wrong. Says whether anything was changed.
///
/// A SYN without the option is left alone: its sender counts on 536 or 1220 bytes (RFC 9293), which every overlay
/// carries. What is malformed is left to the receiver's judgement from there on.
pub fn clamp(tcp: &mut [u8], most: u16) -> bool {
    let Some(header) = tcp.first_chunk::<TCP_LEN>() else { return false };
    let end = ((header[12] >> 4) as usize * 4).min(tcp.len());
    let is_syn = header[Tcp::FLAGS_AT] & Tcp::SYN != 0;
    let (mut at, mut changed) = (TCP_LEN, false);
    while is_syn && most > 0 && at < end {
        let len = match (tcp.get(at), tcp.get(at + 1)) {
            (Some(&NO_OPERATION), _) => 1,
            (Some(&END) | None, _) | (_, None) => break,
            (Some(&MAXIMUM_SEGMENT_SIZE), Some(4)) if at + 4 <= end => {
                changed |= lower(tcp, at + 2, most);
                4
            }
            // Shorter than its own two bytes: nobody knows where the next one starts.
            (_, Some(0 | 1)) => break,
            (_, Some(&len)) => len as usize,
        };
        at += len;
    }
    changed
}

fn lower(tcp: &mut [u8], at: usize, most: u16) -> bool {
    let Some(field) = tcp.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<2>()) else { return false };
    let old = u16::from_be_bytes(*field);
    if old <= most {
        return false;
    }
    *field = most.to_be_bytes();
    // At an odd place its bytes stand in two words of the sum, swapped (RFC 1071 section 2 (B)).
    let word = |value: u16| if at.is_multiple_of(2) { value } else { value.swap_bytes() };
    let delta = Delta::between(word(old), word(most));
    if let Some(checksum) = tcp.get_mut(Tcp::CHECKSUM_AT..).and_then(|rest| rest.first_chunk_mut::<2>()) {
        *checksum = delta.apply(u16::from_be_bytes(*checksum)).to_be_bytes();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::{Ipv4Header, Ipv6Header, TcpHeader, TcpOptionElement};
    use proptest::prelude::*;

    fn option(number: u8, value: u16) -> TcpOptionElement {
        match number % 5 {
            0 => TcpOptionElement::Noop,
            1 => TcpOptionElement::MaximumSegmentSize(value),
            2 => TcpOptionElement::WindowScale(value as u8),
            3 => TcpOptionElement::SelectiveAcknowledgementPermitted,
            _ => TcpOptionElement::Timestamp(value.into(), 7),
        }
    }

    fn lowered(element: &TcpOptionElement, most: u16) -> TcpOptionElement {
        match element {
            TcpOptionElement::MaximumSegmentSize(size) => {
                TcpOptionElement::MaximumSegmentSize(most.min(*size))
            }
            other => other.clone(),
        }
    }

    proptest! {
        #[test]
        fn what_comes_out_is_what_another_library_writes(
            choice in proptest::collection::vec((any::<u8>(), any::<u16>()), 0..8),
            ports: (u16, u16), sequence: u32, ack: bool, v6: bool, most in 1u16..,
            payload in proptest::collection::vec(any::<u8>(), 0..20),
        ) {
            let elements: Vec<_> = choice.iter().map(|(number, value)| option(*number, *value)).collect();
            let write = |elements: &[TcpOptionElement]| {
                let mut header = TcpHeader::new(ports.0, ports.1, sequence, 1000);
                header.syn = true;
                header.ack = ack;
                header.set_options(elements).ok()?;
                header.checksum = match v6 {
                    false => {
                        let ip = Ipv4Header::new(0, 9, etherparse::IpNumber::TCP, [192, 0, 2, 1], [203, 0, 113, 7]);
                        header.calc_checksum_ipv4(&ip.ok()?, &payload).ok()?
                    }
                    true => {
                        let ip = Ipv6Header { source: [7; 16], destination: [9; 16], ..Default::default() };
                        header.calc_checksum_ipv6(&ip, &payload).ok()?
                    }
                };
                Some([header.to_bytes().to_vec(), payload.clone()].concat())
            };
            let Some(mut bytes) = write(&elements) else { return Ok(()) };
            let wanted: Vec<_> = elements.iter().map(|element| lowered(element, most)).collect();
            let changed = clamp(&mut bytes, most);
            prop_assert_eq!(changed, wanted != elements);
            prop_assert_eq!(Some(bytes), write(&wanted));
        }

        #[test]
        fn only_lowers_and_touches_nothing_else(mut bytes in proptest::collection::vec(any::<u8>(), 0..80), most: u16) {
            let before = bytes.clone();
            let changed = clamp(&mut bytes, most);
            prop_assert_eq!(changed, bytes != before);
            prop_assert!(!clamp(&mut bytes, most));
            for (at, (new, old)) in bytes.iter().zip(&before).enumerate() {
                let in_options = at >= TCP_LEN && at < (before[12] >> 4) as usize * 4;
                prop_assert!(new == old || in_options || at == 16 || at == 17);
            }
        }

        #[test]
        fn hostile_options_neither_panic_nor_loop(
            options in proptest::collection::vec(prop_oneof![0u8..6, any::<u8>()], 40), cut in 20usize..=60, most: u16,
        ) {
            let mut bytes = vec![0; TCP_LEN];
            (bytes[12], bytes[13]) = (0xf0, Tcp::SYN);
            bytes.extend(options);
            bytes.truncate(cut);
            clamp(&mut bytes, most);
        }
    }

    #[test]
    fn segments_leave_room_for_headers() {
        assert_eq!(of_mtu(IpVersion::V4, 1424), 1384);
        assert_eq!(of_mtu(IpVersion::V6, 1404), 1344);
        assert_eq!(of_mtu(IpVersion::V6, 59), 0);
    }

    #[test]
    fn without_syn_or_room_nothing_changes() {
        let mut bytes = [0u8; 24];
        bytes[12] = 0x60;
        bytes[20..].copy_from_slice(&[2, 4, 5, 0xb4]);
        assert!(!clamp(&mut bytes, 1000));
        bytes[13] = Tcp::SYN;
        assert!(!clamp(&mut bytes, 0));
        assert!(!clamp(&mut bytes, 1460) && clamp(&mut bytes, 1459));
    }
}
