//! What a client asks.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Longest request that the daemon reads, bytes.
pub const REQUEST_BYTES_MAX: usize = 4096;

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "show", rename_all = "snake_case")]
pub enum Request {
    /// How the node is.
    Status,
    /// What each path has done.
    Paths,
    /// Flows at the edge.
    Flows(ListRequest),
    /// Translated sessions at the gateway.
    Sessions(ListRequest),
    /// Addresses that a gateway translates to, and how many of their ports are used.
    Pool(ListRequest),
    /// Clients that have sessions at a gateway, those with the most first.
    Clients(ListRequest),
    /// How a gateway translates clients by prefix; with an address, what that is on the other side.
    Prefixes {
        /// A client's, or what an origin sees.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        address: Option<IpAddr>,
    },
    /// Streams received.
    Streams(ListRequest),
    /// Packets dropped, by reason.
    Drops,
    /// What hop records of an application's packets tell.
    Traces(TraceRequest),
    /// The node's links, and what all nodes say of theirs.
    Links,
    /// The node's keys and those of its peers.
    Keys,
    /// Makes a new key now, and then shows the keys. A deed, not a question: it stands here because every request is one
    /// line with one word.
    RotateKey,
    /// Gateways that stand in for each other.
    Gateways,
    /// Hands this gateway's addresses over to its peer, and then shows [`Request::Gateways`].
    DrainGateway,
    /// Has this gateway take part again, and then shows [`Request::Gateways`].
    ResumeGateway,
}

/// Whose hop records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceRequest {
    /// The application's name.
    pub application: String,
    /// Packets to show one by one, the newest.
    #[serde(default)]
    pub packets: usize,
}

/// Which entries of a long list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListRequest {
    /// Only entries that match.
    #[serde(default)]
    pub filter: Filter,
    /// Entries at most.
    pub limit: u64,
}

/// What an entry must match; everything that is given must.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// The client, the virtual IP, or the origin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// Any of the ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// `tcp`, `udp` or `icmp`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Family>,
}

/// A protocol over IP; ICMP stands for ICMPv6 too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP and ICMPv6.
    Icmp,
    /// UDP-Lite.
    #[serde(rename = "udplite")]
    UdpLite,
    /// SCTP.
    Sctp,
    /// Generic routing encapsulation.
    Gre,
    /// Any other.
    Other,
}

impl Family {
    /// The protocol behind an IP protocol number, if it is one that is carried.
    pub fn of(protocol: u8) -> Option<Family> {
        match protocol {
            6 => Some(Family::Tcp),
            17 => Some(Family::Udp),
            1 | 58 => Some(Family::Icmp),
            136 => Some(Family::UdpLite),
            132 => Some(Family::Sctp),
            47 => Some(Family::Gre),
            0 => None,
            _ => Some(Family::Other),
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Family::Tcp => "tcp",
            Family::Udp => "udp",
            Family::Icmp => "icmp",
            Family::UdpLite => "udplite",
            Family::Sctp => "sctp",
            Family::Gre => "gre",
            Family::Other => "other",
        }
    }
}

impl Filter {
    /// Whether an entry with these addresses, ports and protocol matches.
    pub fn matches(&self, addresses: &[IpAddr], ports: &[u16], protocol: Family) -> bool {
        self.address.is_none_or(|address| addresses.contains(&address))
            && self.port.is_none_or(|port| ports.contains(&port))
            && self.protocol.is_none_or(|wanted| wanted == protocol)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_short_lines_that_people_can_write() {
        let status: Request = serde_json::from_str(r#"{"show":"status"}"#).unwrap();
        assert_eq!(status, Request::Status);
        let flows: Request = serde_json::from_str(r#"{"show":"flows","limit":5}"#).unwrap();
        assert_eq!(flows, Request::Flows(ListRequest { filter: Filter::default(), limit: 5 }));
    }

    #[test]
    fn a_filter_wants_all_that_it_names() {
        let client: IpAddr = "192.0.2.7".parse().unwrap();
        let filter = Filter { address: Some(client), port: Some(80), protocol: Some(Family::Tcp) };
        assert!(filter.matches(&[client], &[1234, 80], Family::Tcp));
        assert!(!filter.matches(&[client], &[1234, 80], Family::Udp));
        assert!(!filter.matches(&[client], &[1234], Family::Tcp));
        assert!(!filter.matches(&[], &[80], Family::Tcp));
        assert!(Filter::default().matches(&[], &[], Family::Icmp));
    }
}
