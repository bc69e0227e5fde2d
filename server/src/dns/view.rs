//! What is answered at a moment: hostnames with their edges, and who is sent where.

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use conf::Overlay;
use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};
use prefix_trie::PrefixMap;

use super::board::{Absence, Board};

/// Prefix lengths by which clients are told apart at least, of IPv4 and IPv6: more than that no answer depends on, unless
/// the definition names longer ones.
const CLIENT_PREFIX: [u8; 2] = [24, 48];

/// A virtual IP that may be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The address.
    pub address: IpAddr,
    /// The edge that holds it.
    pub edge: String,
    /// That edge's region, by its place in the definition.
    pub region: usize,
    /// Why it is not answered; `None` if it is.
    pub absence: Option<Absence>,
}

/// A hostname and its virtual IPs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// The application.
    pub application: String,
    /// Its virtual IPs.
    pub candidates: Vec<Candidate>,
    /// The edge region for clients of whom nothing is known.
    pub quickest: Option<usize>,
}

/// What is answered at a moment.
#[derive(Debug, Default)]
pub struct View {
    /// Revision of the definition.
    pub revision: u64,
    /// By hostname, in lower case and without the last dot.
    pub hosts: BTreeMap<String, Host>,
    /// Names that stand above hostnames, and have nothing themselves.
    above: HashSet<String>,
    v4: PrefixMap<Ipv4Network, Vec<usize>>,
    v6: PrefixMap<Ipv6Network, Vec<usize>>,
    /// Prefix lengths that answers depend on, of IPv4 and IPv6.
    finest: [u8; 2],
}

impl View {
    /// Of a definition and of what is known of its edges.
    pub fn new(revision: u64, overlay: &Overlay, board: &Board) -> View {
        let topology = &overlay.topology;
        let mut view = View { revision, finest: CLIENT_PREFIX, ..View::default() };
        for (hostname, application) in &overlay.dns.hostnames {
            let Some(application) = topology.applications.get(*application) else { continue };
            let candidates = application.vips.iter().filter_map(|vip| {
                let node = topology.node(vip.node)?;
                let (edge, region) = (node.name.clone(), usize::from(node.region.0));
                Some(Candidate { address: vip.address, absence: board.absence(&edge), edge, region })
            });
            let host = Host {
                application: application.name.clone(),
                candidates: candidates.collect(),
                quickest: board.quickest(usize::from(application.gateway.0)),
            };
            let above = hostname.match_indices('.').filter_map(|(dot, _)| hostname.get(dot + 1..));
            view.above.extend(above.map(str::to_owned));
            view.hosts.insert(hostname.clone(), host);
        }
        for (prefix, regions) in &overlay.dns.clients {
            let regions = regions.iter().map(|region| usize::from(region.0)).collect();
            let finest = &mut view.finest[usize::from(prefix.is_ipv6())];
            *finest = (*finest).max(prefix.prefix());
            match prefix {
                IpNetwork::V4(prefix) => view.v4.insert(*prefix, regions),
                IpNetwork::V6(prefix) => view.v6.insert(*prefix, regions),
            };
        }
        view
    }

    /// Whether there are hostnames below a name.
    pub fn is_above(&self, name: &str) -> bool {
        self.above.contains(name)
    }

    /// The prefix length of a client's address that an answer depends on.
    pub fn scope(&self, client: IpAddr) -> u8 {
        self.finest[usize::from(client.is_ipv6())]
    }

    /// The virtual IP for a client, of whom so many bits of its address are known; of IPv6 or of IPv4.
    pub fn choose(&self, host: &Host, v6: bool, client: IpAddr, known_bits: u8) -> Option<IpAddr> {
        let client = truncated(client, known_bits.min(self.scope(client)));
        let of_family = || host.candidates.iter().filter(|candidate| candidate.address.is_ipv6() == v6);
        // Where none is well, the definition's word is better than none: what is known may be wrong.
        let usable = |level: u8| {
            of_family().filter(move |candidate| match level {
                0 => candidate.absence.is_none(),
                1 => candidate.absence != Some(Absence::Draining),
                _ => true,
            })
        };
        let level = (0..3).find(|level| usable(*level).next().is_some())?;
        let wished = self.regions(client, known_bits).into_iter().flatten().copied().chain(host.quickest);
        let region = wished.into_iter().find(|region| usable(level).any(|one| one.region == *region));
        let there = usable(level).filter(|one| region.is_none_or(|region| one.region == region));
        // Each client has an order of its own among edges: when one goes, only its clients move.
        let rank = |candidate: &&Candidate| {
            let mut hasher = DefaultHasher::new();
            (client, &candidate.edge, candidate.address).hash(&mut hasher);
            hasher.finish()
        };
        there.min_by_key(rank).map(|candidate| candidate.address)
    }

    /// The regions for a client by the longest prefix of the definition that holds all of what is known of it.
    fn regions(&self, client: IpAddr, known_bits: u8) -> Option<&Vec<usize>> {
        match client {
            IpAddr::V4(client) => {
                let network = Ipv4Network::new(client, known_bits.min(32)).ok()?;
                self.v4.get_lpm(&network).map(|(_, regions)| regions)
            }
            IpAddr::V6(client) => {
                let network = Ipv6Network::new(client, known_bits.min(128)).ok()?;
                self.v6.get_lpm(&network).map(|(_, regions)| regions)
            }
        }
    }
}

/// An address with all bits behind the first so many cleared.
pub fn truncated(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits.min(32))).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits.min(128))).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::board::Sight;
    use super::*;
    use proptest::prelude::*;

    const OVERLAY: &str = include_str!("../../tests/two-edge-regions.toml");

    pub(crate) fn overlay() -> Overlay {
        Overlay::check("overlay", OVERLAY, &conf::Members::default())
            .unwrap_or_else(|errors| panic!("{errors}"))
    }

    /// With these edges well, Paris 10 ms and Oslo 30 ms from Frankfurt.
    fn view(well: &[&str]) -> View {
        let mut board = Board::new(0, 0);
        let edges = [("p1", 0, 10_000), ("p2", 0, 10_000), ("o1", 1, 30_000)];
        let sight = |name: &str, us| Sight {
            alive: well.contains(&name),
            round_trip_us: BTreeMap::from([(3, us)]),
            ..Sight::default()
        };
        let seen = edges.map(|(name, region, us)| (name.to_owned(), region, sight(name, us)));
        board.look(20_000, seen);
        View::new(1, &overlay(), &board)
    }

    fn chosen(view: &View, client: &str, known_bits: u8, v6: bool) -> String {
        let host = &view.hosts["web.apps.example.com"];
        let address = view.choose(host, v6, client.parse().unwrap(), known_bits);
        address.map(|address| address.to_string()).unwrap_or_default()
    }

    #[test]
    fn the_longest_prefix_says_where_and_measurement_where_none_does() {
        let all = view(&["p1", "p2", "o1"]);
        assert_eq!(chosen(&all, "198.51.100.7", 32, false), "203.0.113.3");
        assert_ne!(chosen(&all, "198.51.7.7", 32, false), "203.0.113.3");
        // Of this client only its /16 is known, which is not all in the longer prefix.
        assert_ne!(chosen(&all, "198.51.100.0", 16, false), "203.0.113.3");
        assert_ne!(chosen(&all, "192.0.2.200", 32, false), "203.0.113.3", "Paris is quicker");
        assert_eq!(chosen(&all, "2001:db8:c::1", 128, true), "2001:db8:a::3", "of IPv6 there is no other");
        assert_eq!((all.scope("192.0.2.1".parse().unwrap()), all.scope("::1".parse().unwrap())), (24, 56));
        assert!(
            all.is_above("apps.example.com") && all.is_above("com") && !all.is_above("web.apps.example.com")
        );
    }

    #[test]
    fn edges_that_are_not_well_are_left_out_as_long_as_others_are() {
        let without = view(&["p1", "p2"]);
        assert_ne!(chosen(&without, "198.51.100.7", 32, false), "203.0.113.3");
        assert_eq!(chosen(&view(&["o1"]), "198.51.7.7", 32, false), "203.0.113.3");
        assert_eq!(chosen(&view(&["p2"]), "198.51.7.7", 32, false), "203.0.113.2");
        assert_ne!(chosen(&view(&[]), "198.51.7.7", 32, false), "", "all are better than none");
    }

    proptest! {
        /// Clients of one prefix are answered alike, and when an edge goes only its own clients move.
        #[test]
        fn only_the_clients_of_an_edge_that_goes_are_moved(client: [u8; 4], other: u8) {
            let [a, b, c, d] = client;
            let address = |last: u8| format!("{a}.{b}.{c}.{last}");
            let all = view(&["p1", "p2", "o1"]);
            let first = chosen(&all, &address(d), 32, false);
            prop_assert_eq!(&chosen(&all, &address(other), 32, false), &first);
            let gone = match first.as_str() {
                "203.0.113.1" => view(&["p1", "o1"]),
                "203.0.113.2" => view(&["p2", "o1"]),
                _ => view(&["o1", "p2"]),
            };
            prop_assert_eq!(chosen(&gone, &address(d), 32, false), first);
        }

        #[test]
        fn truncation_keeps_the_first_bits(v4: u32, v6: u128, bits in 0u8..=128) {
            let short = truncated(Ipv4Addr::from_bits(v4).into(), bits.min(32));
            let net = Ipv4Network::new(Ipv4Addr::from_bits(v4), bits.min(32)).unwrap();
            prop_assert_eq!(short, IpAddr::V4(net.network()));
            let long = truncated(Ipv6Addr::from_bits(v6).into(), bits);
            prop_assert_eq!(long, IpAddr::V6(Ipv6Network::new(Ipv6Addr::from_bits(v6), bits).unwrap().network()));
        }
    }
}
