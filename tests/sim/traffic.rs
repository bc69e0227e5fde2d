//! What hosts send: requests of clients over flows that they keep, replies and refusals of origins.

use super::MICROSECOND;
use super::decode::decode;
use super::ledger::{Exchange, PAYLOAD_MIN, payload};
use super::packets::{Body, Datagram};
use super::plan::StationRole;
use super::station::Received;
use super::world::{Event, World};
use overlay::topology::Service;
use std::net::IpAddr;

/// What a flow of a client always has.
#[derive(Clone, Debug)]
struct Flow {
    station: usize,
    application: usize,
    client: IpAddr,
    vip: IpAddr,
    body: Body,
    packets: u32,
}

impl World {
    /// Has clients send so many requests, at random times in a span, over `flows` flows.
    pub fn plan_requests(&mut self, count: usize, flows: usize, from: u64, until: u64) {
        let mut flows: Vec<Flow> = (0..flows).map(|_| self.draw_flow()).collect();
        let mut times: Vec<u64> = (0..count).map(|_| self.random.within(from..=until)).collect();
        times.sort_unstable();
        for at in times {
            let flow = self.random.below(flows.len() as u64) as usize;
            let number = self.ledger.exchanges.len();
            let exchange = self.draw_exchange(&mut flows[flow], number, at);
            self.ledger.exchanges.push(exchange);
            self.events.add(at, Event::Request(number));
        }
    }

    fn draw_flow(&mut self) -> Flow {
        let stations = 0..self.stations.len();
        let clients: Vec<usize> = stations.filter(|one| !self.reachable(*one).is_empty()).collect();
        let station = *self.random.pick(&clients);
        let reachable = self.reachable(station);
        let (application, vip) = *self.random.pick(&reachable);
        let plan = &self.stations[station].plan;
        let own = plan.addresses.iter().map(|own| own.ip()).chain(plan.behind.iter().copied());
        let own: Vec<IpAddr> = own.filter(|address| address.is_ipv4() == vip.is_ipv4()).collect();
        let client = *self.random.pick(&own);
        let service = self.random.pick(&self.plan.topology.applications[application].services).clone();
        // Few ports, so that clients and virtual IPs meet with the same ones.
        let port = 1024 + self.random.below(40) as u16 * 1600;
        let mut within = |ports: std::ops::RangeInclusive<u16>| {
            self.random.within(u64::from(*ports.start())..=u64::from(*ports.end())) as u16
        };
        let body = match service {
            Service::Udp(ports) => {
                Body::Udp { ports: (port, within(ports)), checked: true, payload: Vec::new() }
            }
            Service::Tcp(ports) => Body::Tcp {
                ports: (port, within(ports)),
                numbers: (0, 0),
                flags: 0,
                options: Vec::new(),
                payload: Vec::new(),
            },
            Service::UdpLite(_) | Service::Sctp(_) | Service::Protocol(_) | Service::Icmp => {
                Body::Echo { request: true, identifier: port, number: 0, payload: Vec::new() }
            }
        };
        Flow { station, application, client, vip, body, packets: 0 }
    }

    /// The applications and virtual IPs of a client's edge.
    fn reachable(&self, station: usize) -> Vec<(usize, IpAddr)> {
        let StationRole::Client { edge } = self.stations[station].plan.role else { return Vec::new() };
        let applications = self.plan.topology.applications.iter().enumerate();
        let vips = applications.flat_map(|(number, one)| one.vips.iter().map(move |vip| (number, vip)));
        vips.filter(|(_, vip)| vip.node == edge).map(|(number, vip)| (number, vip.address)).collect()
    }

    fn draw_exchange(&mut self, flow: &mut Flow, number: usize, at: u64) -> Exchange {
        let mut body = flow.body.clone();
        let first = flow.packets == 0;
        flow.packets += 1;
        let len = self.draw_len(flow.vip, &body);
        let v4 = flow.vip.is_ipv4();
        match &mut body {
            Body::Udp { payload: bytes, checked, .. } => {
                *bytes = payload(number, len);
                *checked = !v4 || !self.random.chance(0.2);
            }
            Body::Tcp { payload: bytes, flags, numbers, options, .. } => {
                *bytes = payload(number, len);
                *flags = if first { 0x02 } else { *self.random.pick(&[0x10, 0x18, 0x18, 0x11]) };
                *numbers = (self.random.bits() as u32, self.random.bits() as u32);
                *options = if first { vec![2, 4, 5, 0xb4] } else { vec![] };
            }
            Body::Echo { payload: bytes, number: echo, .. } => {
                *bytes = payload(number, len);
                *echo = flow.packets as u16;
            }
            Body::Error { .. } => {}
        }
        let request = self.draw_header(flow.client, flow.vip, body);
        let udp = matches!(request.body, Body::Udp { .. });
        Exchange {
            station: flow.station,
            application: flow.application,
            sent_at: at,
            arrivals: 0,
            seen: None,
            refused: udp && self.random.chance(0.1),
            complains: udp && self.random.chance(0.1),
            reply: None,
            returns: 0,
            returned_at: 0,
            complaints: 0,
            request,
        }
    }

    /// Bytes of a payload: small, any, or as large as fits everywhere.
    fn draw_len(&mut self, to: IpAddr, body: &Body) -> usize {
        let headers = if to.is_ipv4() { 20 } else { 40 };
        let transport = if matches!(body, Body::Tcp { .. }) { 24 } else { 8 };
        let most = self.plan.inner_mtu as usize - headers - transport;
        match self.random.below(3) {
            0 => PAYLOAD_MIN + self.random.below(20) as usize,
            1 => PAYLOAD_MIN + self.random.below((most - PAYLOAD_MIN) as u64) as usize,
            _ => most,
        }
    }

    fn draw_header(&mut self, src: IpAddr, dst: IpAddr, body: Body) -> Datagram {
        Datagram {
            src,
            dst,
            ttl: self.random.within(3..=255) as u8,
            class: self.random.bits() as u8,
            label: self.random.bits() as u16,
            dont_fragment: src.is_ipv6() || self.random.chance(0.5),
            body,
        }
    }

    pub(super) fn request(&mut self, number: usize) {
        let exchange = &self.ledger.exchanges[number];
        let (station, to) = (exchange.station, exchange.request.dst);
        let packet = exchange.request.encode();
        let frames = self.stations[station].send(to, &packet);
        self.send_from_host(station, frames);
    }

    pub(super) fn arrive_at_host(&mut self, station: usize, frame: &[u8]) {
        let received = self.stations[station].receive(frame);
        if self.corrupting {
            return self.take_what_is_readable(station, received.unwrap_or_default());
        }
        let received = received.unwrap_or_else(|fault| panic!("at host {station}: {fault}"));
        self.send_from_host(station, received.frames);
        let Some(packet) = received.packet else { return };
        let seen = decode(&packet).unwrap();
        let error = matches!(seen.body, Body::Error { .. });
        match &self.stations[station].plan.role {
            StationRole::Origin { .. } if error => self.ledger.error_at_origin(&seen),
            StationRole::Origin { .. } => {
                let number = self.ledger.at_origin(station, &seen);
                let think = self.random.below(self.think_ns);
                self.events.add(self.now + think, Event::Reply(number));
            }
            StationRole::Client { .. } => {
                let number = self.ledger.at_client(self.now, &seen);
                if self.ledger.exchanges[number].complains && !error {
                    self.send_error(station, &seen, &packet);
                }
            }
        }
    }

    /// Where anything may have been changed, a host answers what looks like a request, and checks nothing.
    fn take_what_is_readable(&mut self, station: usize, received: Received) {
        self.send_from_host(station, received.frames);
        let Some(seen) = received.packet.and_then(|packet| decode(&packet).ok()) else { return };
        let Some(number) = self.ledger.number_of(&seen) else { return };
        let origin = matches!(self.stations[station].plan.role, StationRole::Origin { .. });
        let exchange = &mut self.ledger.exchanges[number];
        if origin {
            exchange.arrivals += 1;
            exchange.seen = Some((seen, station));
            self.events.add(self.now + MICROSECOND, Event::Reply(number));
        } else {
            exchange.returns += 1;
        }
    }

    /// The origin's answer: a reply, or "port unreachable".
    pub(super) fn reply(&mut self, number: usize) {
        let exchange = &self.ledger.exchanges[number];
        let (seen, station) = exchange.seen.clone().expect("a request that arrived");
        if exchange.refused {
            return self.send_error(station, &seen, &seen.encode());
        }
        let (external, own) = seen.body.ports();
        let mut body = seen.body.with_ports((own, external));
        let len = self.draw_len(seen.src, &body);
        match &mut body {
            Body::Udp { payload: bytes, checked, .. } => {
                *bytes = payload(number, len);
                *checked = seen.src.is_ipv6() || !self.random.chance(0.2);
            }
            Body::Tcp { payload: bytes, flags, numbers, options, .. } => {
                *bytes = payload(number, len);
                *flags |= 0x10;
                *numbers = (self.random.bits() as u32, numbers.0);
                options.clear();
            }
            Body::Echo { request, .. } => *request = false,
            Body::Error { .. } => {}
        }
        let reply = self.draw_header(seen.dst, seen.src, body);
        let (to, packet) = (reply.dst, reply.encode());
        self.ledger.exchanges[number].reply = Some(reply);
        let frames = self.stations[station].send(to, &packet);
        self.send_from_host(station, frames);
    }

    /// A host's "port unreachable" about a packet that it got.
    fn send_error(&mut self, station: usize, about: &Datagram, packet: &[u8]) {
        let v4 = about.src.is_ipv4();
        let most = if v4 { 548 } else { 1232 };
        // Some quote all that fits, some no more than they must.
        let least = if v4 { 28 + PAYLOAD_MIN } else { 48 + PAYLOAD_MIN };
        let len = if self.random.chance(0.5) { most } else { least };
        let body = Body::Error {
            kind: if v4 { 3 } else { 1 },
            code: if v4 { 3 } else { 4 },
            rest: 0,
            quote: packet[..len.min(about.encode().len())].to_vec(),
        };
        let error = self.draw_header(about.dst, about.src, body);
        let frames = self.stations[station].send(error.dst, &error.encode());
        self.send_from_host(station, frames);
    }
}
