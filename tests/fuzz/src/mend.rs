//! Makes checksums right that a fuzzer can not guess, so that it gets beyond them. Everything else stays as it is.

use overlay::wire::GENEVE_PORT;
use packet::Addr;
use packet::checksum::{add, pseudo_header, sum};
use packet::icmp::{Kind, V6_ECHO_REPLY};
use packet::transport::{ICMP, ICMPV6, UDP};

/// Packets inside packets that are mended.
const DEPTH_MAX: usize = 3;

/// Mends the checksums of an IP packet, of what GENEVE or an ICMP error in it carries, and of ICMP.
pub fn ip(bytes: &mut [u8]) {
    mend(bytes, DEPTH_MAX);
}

fn mend(bytes: &mut [u8], depth: usize) {
    if depth == 0 {
        return;
    }
    match bytes.first().map(|byte| byte >> 4) {
        Some(4) if bytes.len() >= 20 => v4(bytes, depth),
        Some(6) if bytes.len() >= 40 => v6(bytes, depth),
        _ => {}
    }
}

fn v4(bytes: &mut [u8], depth: usize) {
    let header_len = usize::from(bytes[0] & 0xf) * 4;
    let end = usize::from(u16::from_be_bytes([bytes[2], bytes[3]])).min(bytes.len());
    if !(20..=end).contains(&header_len) {
        return;
    }
    let protocol = bytes[9];
    transport(&mut bytes[header_len..end], protocol, 0, depth);
    bytes[10..12].fill(0);
    let sum = !sum(&bytes[..header_len]);
    bytes[10..12].copy_from_slice(&sum.to_be_bytes());
}

fn v6(bytes: &mut [u8], depth: usize) {
    let end = (40 + usize::from(u16::from_be_bytes([bytes[4], bytes[5]]))).min(bytes.len());
    let address = |at: usize| Addr::from_v6(core::array::from_fn(|place| bytes[at + place]));
    let pseudo = pseudo_header(address(8), address(24), ICMPV6, (end - 40) as u32);
    let protocol = bytes[6];
    transport(&mut bytes[40..end], protocol, pseudo, depth);
}

fn transport(bytes: &mut [u8], protocol: u8, pseudo: u16, depth: usize) {
    match protocol {
        UDP if bytes.len() >= 16 && bytes[2..4] == GENEVE_PORT.to_be_bytes() => {
            let inner_at = 16 + usize::from(bytes[8] & 0x3f) * 4;
            if let Some(inner) = bytes.get_mut(inner_at..) {
                mend(inner, depth - 1);
            }
        }
        ICMP | ICMPV6 if bytes.len() >= 8 => {
            let error = match protocol {
                ICMP => Kind::of_v4(bytes[0]) == Kind::Error,
                _ => bytes[0] < V6_ECHO_REPLY && Kind::of_v6(bytes[0]) == Kind::Error,
            };
            if error {
                mend(&mut bytes[8..], depth - 1);
            }
            bytes[2..4].fill(0);
            let sum = !add(pseudo, sum(bytes));
            bytes[2..4].copy_from_slice(&sum.to_be_bytes());
        }
        _ => {}
    }
}
