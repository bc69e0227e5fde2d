//! ARP (RFC 826, RFC 5227): answering for the node's addresses, asking for neighbours, announcing.

use packet::ethernet::{Arp, TYPE_ARP, TYPE_IPV4};
use packet::{Addr, Mac, Reason};
use zerocopy::{FromBytes, IntoBytes};

use super::{SlowPath, frame};
use crate::PortIndex;

const HARDWARE_ETHERNET: u16 = 1;
const NO_MAC: Mac = Mac([0; 6]);

impl SlowPath {
    pub(super) fn handle_arp(&mut self, now_ns: u64, port: PortIndex, bytes: &[u8]) -> Result<(), Reason> {
        let (arp, _) = Arp::read_from_prefix(bytes).map_err(|_| Reason::SlowPath)?;
        let is_ethernet_ipv4 = arp.hardware.get() == HARDWARE_ETHERNET
            && arp.protocol.get() == TYPE_IPV4
            && (arp.hardware_len, arp.protocol_len) == (6, 4);
        let (sender, sender_mac) = (Addr::from_v4(arp.sender_ip), Mac(arp.sender_mac));
        if !is_ethernet_ipv4 || sender_mac.is_group() || sender_mac == NO_MAC {
            return Err(Reason::SlowPath);
        }
        if sender_mac == self.ports[port.0 as usize].mac {
            return Err(Reason::SlowPath);
        }
        if self.own.answers(port, sender) {
            self.counters.conflicts += 1;
            return Err(Reason::SlowPath);
        }
        let target = Addr::from_v4(arp.target_ip);
        let is_for_us = self.own.answers(port, target);
        match arp.operation.get() {
            Arp::REQUEST => {
                // RFC 826: an existing entry is updated by whoever speaks; a new one is made only when we are
                // meant. A probe (RFC 5227) has no sender address and teaches nothing.
                let unspecified = arp.sender_ip == [0; 4];
                if !unspecified && self.own.on_link(port, sender) {
                    let held = self.neighbors.heard(now_ns, port, sender, sender_mac, is_for_us);
                    self.learned(port, sender_mac, held);
                }
                if !is_for_us {
                    return Ok(());
                }
                if !self.arp_rate.take(now_ns, sender) {
                    return Err(Reason::AnswerLimited);
                }
                self.send_arp(
                    port,
                    Arp::REPLY,
                    sender_mac,
                    (target, self.ports[port.0 as usize].mac),
                    (sender, sender_mac),
                );
                Ok(())
            }
            Arp::REPLY => {
                // A reply to us confirms; one to somebody else, or a gratuitous one, only updates.
                let held = if is_for_us && Mac(arp.target_mac) == self.ports[port.0 as usize].mac {
                    self.neighbors.confirmed(now_ns, port, sender, sender_mac)
                } else {
                    self.neighbors.heard(now_ns, port, sender, sender_mac, false)
                };
                self.learned(port, sender_mac, held);
                Ok(())
            }
            _ => Err(Reason::SlowPath),
        }
    }

    /// Asks for a neighbour: everyone, or only the station that held the address last.
    pub(super) fn send_arp_request(&mut self, port: PortIndex, addr: Addr, mac: Option<Mac>) {
        let Some(source) = self.own.source_for(port, addr) else { return };
        let own_mac = self.ports[port.0 as usize].mac;
        self.send_arp(port, Arp::REQUEST, mac.unwrap_or(Mac::BROADCAST), (source, own_mac), (addr, NO_MAC));
    }

    /// Tells everyone that an address is here: a request for the own address (RFC 5227 section 2.3).
    pub(super) fn announce_arp(&mut self, port: PortIndex, addr: Addr) {
        let own_mac = self.ports[port.0 as usize].mac;
        self.send_arp(port, Arp::REQUEST, Mac::BROADCAST, (addr, own_mac), (addr, NO_MAC));
    }

    fn send_arp(
        &mut self,
        port: PortIndex,
        operation: u16,
        to: Mac,
        sender: (Addr, Mac),
        target: (Addr, Mac),
    ) {
        let arp = Arp {
            hardware: HARDWARE_ETHERNET.into(),
            protocol: TYPE_IPV4.into(),
            hardware_len: 6,
            protocol_len: 4,
            operation: operation.into(),
            sender_mac: sender.1.0,
            sender_ip: sender.0.v4_bytes(),
            target_mac: target.1.0,
            target_ip: target.0.v4_bytes(),
        };
        let mut frame = frame::begin(&self.ports[port.0 as usize], to, TYPE_ARP);
        frame.extend(arp.as_bytes());
        self.send(port, frame::finish(frame));
    }
}
