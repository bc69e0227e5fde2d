//! Stations that answer every question for an address: what a capture lacks to be replayed.

use std::collections::BTreeMap;

use packet::ethernet::{self, Arp, TYPE_ARP, TYPE_IPV6};
use packet::icmp::{V6_NEIGHBOR_ADVERTISEMENT, V6_NEIGHBOR_SOLICITATION};
use packet::ip;
use packet::transport::ICMPV6;
use packet::{Addr, Mac, checksum};
use zerocopy::{FromBytes, IntoBytes};

/// Everyone on the node's links.
#[derive(Clone, Debug, Default)]
pub struct Neighborhood {
    known: BTreeMap<Addr, Mac>,
}

impl Neighborhood {
    /// Stations with these Ethernet addresses; any other has one made of its IP address.
    pub fn new(known: impl IntoIterator<Item = (Addr, Mac)>) -> Neighborhood {
        Neighborhood { known: known.into_iter().collect() }
    }

    /// The Ethernet address of a station.
    pub fn mac(&self, addr: Addr) -> Mac {
        let [.., a, b, c, d] = addr.v6_bytes();
        self.known.get(&addr).copied().unwrap_or(Mac([0x02, 0x01, a, b, c, d]))
    }

    /// What comes back when the node sends this frame: an answer if it asks for a neighbour.
    pub fn answer(&self, frame: &[u8]) -> Option<Vec<u8>> {
        let link = ethernet::parse(frame).ok()?;
        let payload = frame.get(link.payload_at..)?;
        let asker = ethernet::source(frame)?;
        let mut answer = Vec::from(asker.0);
        match link.ether_type {
            TYPE_ARP => {
                let (mut arp, _) = Arp::read_from_prefix(payload).ok()?;
                // An announcement asks for the sender's own address.
                if arp.operation.get() != Arp::REQUEST || arp.sender_ip == arp.target_ip {
                    return None;
                }
                let mac = self.mac(Addr::from_v4(arp.target_ip));
                answer.extend(mac.0);
                answer.extend(frame.get(12..link.payload_at)?);
                core::mem::swap(&mut arp.sender_ip, &mut arp.target_ip);
                arp.operation = Arp::REPLY.into();
                arp.target_mac = arp.sender_mac;
                arp.sender_mac = mac.0;
                answer.extend(arp.as_bytes());
            }
            TYPE_IPV6 => {
                let packet = ip::parse_v6(payload).ok()?;
                if packet.protocol != ICMPV6 || packet.detail != V6_NEIGHBOR_SOLICITATION {
                    return None;
                }
                let at = packet.transport_at as usize;
                let target = Addr::from_v6(*payload.get(at + 8..)?.first_chunk()?);
                let mac = self.mac(target);
                answer.extend(mac.0);
                answer.extend(frame.get(12..link.payload_at)?);
                answer.extend([0x60, 0, 0, 0, 0, 32, ICMPV6, 255]);
                answer.extend(target.v6_bytes());
                answer.extend(packet.src.v6_bytes());
                let mut message = vec![V6_NEIGHBOR_ADVERTISEMENT, 0, 0, 0, 0x60, 0, 0, 0];
                message.extend(target.v6_bytes());
                message.extend([2, 1]);
                message.extend(mac.0);
                let pseudo = checksum::pseudo_header(target, packet.src, ICMPV6, message.len() as u32);
                let sum = !checksum::sum_onto(pseudo, &message);
                message[2..4].copy_from_slice(&sum.to_be_bytes());
                answer.extend(message);
            }
            _ => return None,
        }
        Some(answer)
    }
}
