//! A host on a segment: answers ARP and neighbour discovery for its addresses, resolves its own next hops, and gives
//! IP packets for it to whoever plays its role.

use super::decode::decode;
use super::frame::{self, ArpMessage, Discovery};
use super::plan::StationPlan;
use ipnetwork::IpNetwork;
use packet::Mac;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What a frame leads to: frames to send, and the IP packet if it is for this host.
#[derive(Debug, Default)]
pub(super) struct Received {
    pub frames: Vec<Vec<u8>>,
    pub packet: Option<Vec<u8>>,
}

/// A host.
#[derive(Debug)]
pub struct Station {
    /// What it was made from.
    pub plan: StationPlan,
    neighbors: BTreeMap<IpAddr, Mac>,
    waiting: BTreeMap<IpAddr, Vec<Vec<u8>>>,
}

impl Station {
    pub(super) fn new(plan: StationPlan) -> Station {
        Station { plan, neighbors: BTreeMap::new(), waiting: BTreeMap::new() }
    }

    /// Whether an address is this host's, or of a client behind it.
    pub fn has(&self, address: IpAddr) -> bool {
        self.on_link(address) || self.plan.behind.contains(&address)
    }

    fn on_link(&self, address: IpAddr) -> bool {
        self.plan.addresses.iter().any(|own| own.ip() == address)
    }

    /// The frames that take an IP packet on its way, now or once its next hop has answered.
    pub(super) fn send(&mut self, to: IpAddr, packet: &[u8]) -> Vec<Vec<u8>> {
        let near = self.plan.addresses.iter().any(|own| own.contains(to));
        let router = || self.plan.routers.iter().copied().find(|router| router.is_ipv4() == to.is_ipv4());
        let hop = if near { to } else { router().expect("a route to every virtual IP") };
        match self.neighbors.get(&hop) {
            Some(mac) => vec![frame::ip(*mac, self.plan.mac, packet)],
            None => {
                self.waiting.entry(hop).or_default().push(packet.to_vec());
                vec![self.ask(hop)]
            }
        }
    }

    /// The frame that asks for a neighbour.
    pub(super) fn ask(&self, neighbor: IpAddr) -> Vec<u8> {
        let mut own = self.plan.addresses.iter().copied();
        let source =
            own.find(|own: &IpNetwork| own.contains(neighbor)).expect("only neighbours are asked for");
        match (source.ip(), neighbor) {
            (IpAddr::V4(source), IpAddr::V4(target)) => {
                let target = (Mac([0; 6]), target);
                ArpMessage { asks: true, sender: (self.plan.mac, source), target }.frame(Mac::BROADCAST)
            }
            (IpAddr::V6(source), IpAddr::V6(target)) => {
                let (to, mac) = frame::solicited_node(target);
                Discovery { asks: true, sender: (self.plan.mac, source), to, target }.frame(mac)
            }
            _ => unreachable!("a network has one IP version"),
        }
    }

    /// Takes a frame.
    ///
    /// # Errors
    /// What no frame here may be.
    pub(super) fn receive(&mut self, bytes: &[u8]) -> Result<Received, String> {
        let to = frame::destination(bytes);
        if to != self.plan.mac && !to.is_group() {
            return Ok(Received::default());
        }
        let (ether_type, payload) = frame::payload(bytes);
        if let Some(message) = ArpMessage::read(ether_type, payload) {
            return Ok(Received { frames: self.handle_arp(&message), packet: None });
        }
        if !matches!(ether_type, 0x0800 | 0x86dd) {
            return Err(format!("neither ARP nor IP: {bytes:02x?}"));
        }
        let datagram = decode(payload)?;
        if let Some(message) = Discovery::read(&datagram) {
            return Ok(Received { frames: self.handle_discovery(&message), packet: None });
        }
        if to.is_group() || !self.has(datagram.dst) {
            return Err(format!("an IP packet for another host: {datagram:?}"));
        }
        Ok(Received { frames: Vec::new(), packet: Some(payload.to_vec()) })
    }

    fn handle_arp(&mut self, message: &ArpMessage) -> Vec<Vec<u8>> {
        let mut frames = self.learn(message.sender.1.into(), message.sender.0);
        if message.asks && self.on_link(message.target.1.into()) {
            let sender = (self.plan.mac, message.target.1);
            frames.push(ArpMessage { asks: false, sender, target: message.sender }.frame(message.sender.0));
        }
        frames
    }

    fn handle_discovery(&mut self, message: &Discovery) -> Vec<Vec<u8>> {
        let subject = if message.asks { message.sender.1 } else { message.target };
        let mut frames = self.learn(subject.into(), message.sender.0);
        if message.asks && self.on_link(message.target.into()) {
            let sender = (self.plan.mac, message.target);
            let answer = Discovery { asks: false, sender, to: message.sender.1, target: message.target };
            frames.push(answer.frame(message.sender.0));
        }
        frames
    }

    /// Remembers who has an address; what waited for it leaves.
    fn learn(&mut self, address: IpAddr, mac: Mac) -> Vec<Vec<u8>> {
        self.neighbors.insert(address, mac);
        let waiting = self.waiting.remove(&address).unwrap_or_default();
        waiting.iter().map(|packet| frame::ip(mac, self.plan.mac, packet)).collect()
    }
}
