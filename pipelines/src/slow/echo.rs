//! Answering echo requests to the node's own addresses (RFC 792, RFC 4443 section 4.1).

use packet::icmp::{self, Header, V4_ECHO_REPLY, V6_ECHO_REPLY};
use packet::ip::{Fragment, Ipv4, Packet};
use packet::{Headers, IpVersion, Mac, Reason, checksum, ethernet, transport};

use super::{SlowPath, frame, own};
use crate::PortIndex;

const TTL: u8 = 64;
/// Largest message that is answered, bytes: an IP packet of 9000 bytes.
const MESSAGE_LEN_MAX: usize = 9000 - 40;

impl SlowPath {
    /// `message` is the ICMP message from its type on; `source` the station that handed it over, and that gets the
    /// answer: it knows the way back.
    pub(super) fn handle_echo(
        &mut self,
        now_ns: u64,
        port: PortIndex,
        source: Mac,
        packet: &Packet,
        message: &[u8],
    ) -> Result<(), Reason> {
        let is_request = packet.icmp_kind() == icmp::Kind::EchoRequest && message.get(1) == Some(&0);
        let source_is_sound = packet.source_is_forwardable() || own::is_link_local(packet.src);
        if !is_request
            || !source_is_sound
            || packet.fragment != Fragment::No
            || message.len() > MESSAGE_LEN_MAX
            || !self.own.echoes(packet.dst)
        {
            return Err(Reason::SlowPath);
        }
        let start = match packet.version {
            IpVersion::V4 => 0,
            IpVersion::V6 => {
                checksum::pseudo_header(packet.src, packet.dst, transport::ICMPV6, message.len() as u32)
            }
        };
        if checksum::sum_onto(start, message) != 0xffff {
            return Err(Reason::SlowPath);
        }
        if !self.echo_rate.take(now_ns, packet.src) {
            return Err(Reason::AnswerLimited);
        }
        let mut reply = message.to_vec();
        reply[Header::CHECKSUM_AT..Header::CHECKSUM_AT + 2].fill(0);
        let frame = match packet.version {
            IpVersion::V4 => {
                reply[0] = V4_ECHO_REPLY;
                let mut frame = frame::begin(&self.ports[port.0 as usize], source, ethernet::TYPE_IPV4);
                push_icmp(&mut frame, packet, reply);
                frame
            }
            IpVersion::V6 => {
                reply[0] = V6_ECHO_REPLY;
                let mut frame = frame::begin(&self.ports[port.0 as usize], source, ethernet::TYPE_IPV6);
                frame::push_icmpv6(&mut frame, packet.dst, packet.src, TTL, &reply);
                frame
            }
        };
        self.send(port, frame::finish(frame));
        Ok(())
    }
}

/// Appends an IPv4 header that answers `packet`, and the message with its checksum.
fn push_icmp(frame: &mut Vec<u8>, packet: &Packet, mut message: Vec<u8>) {
    let sum = !checksum::sum(&message);
    message[Header::CHECKSUM_AT..Header::CHECKSUM_AT + 2].copy_from_slice(&sum.to_be_bytes());
    let at = frame.len();
    let len = (Ipv4::LEN + message.len()) as u16;
    frame.extend([0x45, 0]);
    frame.extend(len.to_be_bytes());
    frame.extend([0, 0]);
    // "Don't fragment": the request came whole, and an atomic packet needs no identification (RFC 6864).
    frame.extend(Ipv4::DONT_FRAGMENT.to_be_bytes());
    frame.extend([TTL, transport::ICMP, 0, 0]);
    frame.extend(packet.dst.v4_bytes());
    frame.extend(packet.src.v4_bytes());
    let sum = !checksum::sum(&frame[at..]);
    frame[at + 10..at + 12].copy_from_slice(&sum.to_be_bytes());
    frame.extend(message);
}
