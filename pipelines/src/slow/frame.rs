//! Frames that the slow path sends: Ethernet in front, the port's VLAN tag if it has one.

use packet::{Addr, Mac, checksum, ethernet, transport};

use super::Port;

/// Shortest frame without its check sequence, bytes (IEEE 802.3).
const FRAME_LEN_MIN: usize = 60;

/// The Ethernet header of a frame from `port`, to be followed by the payload.
pub(super) fn begin(port: &Port, destination: Mac, ether_type: u16) -> Vec<u8> {
    let mut frame = Vec::with_capacity(128);
    frame.extend(destination.0);
    frame.extend(port.mac.0);
    if let Some(vlan) = port.vlan {
        frame.extend(ethernet::TYPE_VLAN.to_be_bytes());
        frame.extend(vlan.to_be_bytes());
    }
    frame.extend(ether_type.to_be_bytes());
    frame
}

/// Pads a frame to Ethernet's minimum.
pub(super) fn finish(mut frame: Vec<u8>) -> Vec<u8> {
    frame.resize(frame.len().max(FRAME_LEN_MIN), 0);
    frame
}

/// Appends an IPv6 header and an ICMPv6 message, whose checksum is filled in.
pub(super) fn push_icmpv6(frame: &mut Vec<u8>, src: Addr, dst: Addr, hop_limit: u8, message: &[u8]) {
    let len = message.len() as u16;
    frame.extend([0x60, 0, 0, 0]);
    frame.extend(len.to_be_bytes());
    frame.extend([transport::ICMPV6, hop_limit]);
    frame.extend(src.v6_bytes());
    frame.extend(dst.v6_bytes());
    let at = frame.len();
    frame.extend(message);
    let sum = checksum::sum_onto(checksum::pseudo_header(src, dst, transport::ICMPV6, len as u32), message);
    frame[at + 2..at + 4].copy_from_slice(&(!sum).to_be_bytes());
}
