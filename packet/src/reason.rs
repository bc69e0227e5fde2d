//! Why a packet was dropped: one list for the whole project.

/// Declares [`Reason`] with each variant's stable name and its sentence, in one place.
macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident => $name:literal,)+) => {
        /// Why a packet was dropped. Counted per worker; the same name stands in `proactl drops show`, in
        /// `/metrics`, and in a capture's comments.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Reason { $($(#[doc = $doc])+ $variant,)+ }

        impl Reason {
            /// Every reason, in the order of their numbers.
            pub const ALL: &'static [Reason] = &[$(Reason::$variant,)+];

            /// The stable name, in snake case.
            pub const fn name(self) -> &'static str {
                match self { $(Reason::$variant => $name,)+ }
            }

            /// One sentence that says what happened.
            pub fn description(self) -> &'static str {
                match self { $(Reason::$variant => concat!($($doc),+).trim_ascii(),)+ }
            }
        }
    };
}

reasons! {
    /// The frame is shorter than its Ethernet or VLAN header.
    EthernetTruncated => "ethernet_truncated",
    /// The frame is addressed to another station, or to a group that nothing here listens to.
    EthernetNotOurs => "ethernet_not_ours",
    /// The frame's EtherType is none that Proa handles.
    EthernetType => "ethernet_type",
    /// The frame's VLAN is not the port's, or it carries more than one tag.
    Vlan => "vlan",
    /// The packet is shorter than its IP header, or than the length that the header gives.
    IpTruncated => "ip_truncated",
    /// The IP version, header length or total length contradicts itself.
    IpMalformed => "ip_malformed",
    /// The IPv4 header checksum is wrong.
    IpChecksum => "ip_checksum",
    /// An IPv6 extension header is malformed, too many are chained, or one is not allowed.
    IpExtension => "ip_extension",
    /// The source or destination address can not be forwarded (loopback, multicast, unspecified).
    IpAddress => "ip_address",
    /// The packet is a fragment, which this path does not carry.
    Fragment => "fragment",
    /// A later fragment, which has no ports, came before its first, or long after it.
    FragmentOrphan => "fragment_orphan",
    /// The transport header is shorter than its protocol needs.
    TransportTruncated => "transport_truncated",
    /// The transport header's own lengths contradict the packet's.
    TransportMalformed => "transport_malformed",
    /// The checksum of an ICMP error is wrong.
    IcmpChecksum => "icmp_checksum",
    /// The TTL or hop limit has run out.
    TtlExpired => "ttl_expired",
    /// The packet does not fit the path's MTU and may not be fragmented.
    TooBig => "too_big",
    /// No address of this node, no virtual IP and no NAT address: nothing here takes this destination.
    NoDestination => "no_destination",
    /// The virtual IP is known, but no application listens on this protocol and port.
    UnknownService => "unknown_service",
    /// This node holds no role that handles the packet.
    WrongRole => "wrong_role",
    /// The overlay header is shorter than its own length fields say.
    OverlayTruncated => "overlay_truncated",
    /// The GENEVE version is not 0, or the overlay's own version is unknown.
    OverlayVersion => "overlay_version",
    /// An option is unknown and critical, of another class, twice there, missing, or its length is wrong.
    OverlayOption => "overlay_option",
    /// The routing protocol id is unknown.
    OverlayProtocol => "overlay_protocol",
    /// The overlay's hop limit has run out.
    OverlayHopLimit => "overlay_hop_limit",
    /// The outer source address belongs to no member of the overlay.
    OverlayNotMember => "overlay_not_member",
    /// The packet names a node that the topology does not know.
    OverlayUnknownNode => "overlay_unknown_node",
    /// The packet names a path that the topology does not know, or that does not lead there from here.
    OverlayUnknownPath => "overlay_unknown_path",
    /// The packet came over another hop than its path's.
    OverlayWrongHop => "overlay_wrong_hop",
    /// The stream is outside what its sender may use.
    OverlayUnknownStream => "overlay_unknown_stream",
    /// The packet carries an authenticator or key epoch, but this link has no key.
    OverlayUnexpectedKey => "overlay_unexpected_key",
    /// No key is agreed with this node yet, or the key's counter is used up.
    OverlayNoKey => "overlay_no_key",
    /// The packet names a key epoch that this node does not have, or has erased.
    OverlayUnknownKey => "overlay_unknown_key",
    /// The hop authenticator is not the one that the neighbouring node's key gives.
    OverlayForgedHop => "overlay_forged_hop",
    /// The seal does not hold: the packet was not sealed by its source, or was changed on its way.
    OverlayForged => "overlay_forged",
    /// The packet is not sealed, but its application or its source must be.
    OverlayUnsealed => "overlay_unsealed",
    /// The inner packet uses a virtual IP that its sender does not speak for.
    OverlayInnerSource => "overlay_inner_source",
    /// The inner packet is not what the overlay header announces.
    OverlayInner => "overlay_inner",
    /// Another copy of this packet has already passed.
    Duplicate => "duplicate",
    /// The copy is older than the elimination window.
    Rogue => "rogue",
    /// A parity packet, which was taken in: it delivers nothing itself.
    Parity => "parity",
    /// A parity packet contradicts itself, or its group's other parity packets.
    ParityMalformed => "parity_malformed",
    /// A packet that was rebuilt has no place in its stream any more: its sender is in another life.
    ParityStale => "parity_stale",
    /// The buffer has too little headroom for the outer headers.
    NoHeadroom => "no_headroom",
    /// The buffer has too little room behind the packet for the seal.
    NoTailroom => "no_tailroom",
    /// The buffer pool is exhausted.
    NoBuffer => "no_buffer",
    /// The packet spans several buffers.
    MultiSegment => "multi_segment",
    /// The flow table is full.
    FlowTableFull => "flow_table_full",
    /// The NAT session table is full.
    NatTableFull => "nat_table_full",
    /// No port is free on the NAT address of this client.
    NatPortsExhausted => "nat_ports_exhausted",
    /// No NAT address of this IP version is configured.
    NatNoPool => "nat_no_pool",
    /// No session matches this packet from the origin's side.
    NatNoSession => "nat_no_session",
    /// The peer is not the one that this session talks to.
    NatWrongPeer => "nat_wrong_peer",
    /// The ICMP message is neither an echo nor an error about a session.
    NatIcmp => "nat_icmp",
    /// The packet quoted in an ICMP error is malformed.
    NatQuote => "nat_quote",
    /// The application has no origin of this IP version.
    NoOrigin => "no_origin",
    /// The transport protocol is none that Proa carries.
    Transport => "transport",
    /// There is no route to this destination.
    NoRoute => "no_route",
    /// The next hop's Ethernet address is not known yet.
    NeighborUnknown => "neighbor_unknown",
    /// The queue to the control thread is full, or this cause is over its rate.
    PuntLimited => "punt_limited",
    /// The queue to another worker is full.
    HandoffFull => "handoff_full",
    /// The device took fewer packets than it was given.
    TransmitFull => "transmit_full",
    /// An answer (an ICMP error, say) was due, but is over its rate.
    AnswerLimited => "answer_limited",
    /// The slow path had no use for this packet.
    SlowPath => "slow_path",
    /// The node is stopping.
    Stopping => "stopping",
    /// The fragment's offset or length contradicts itself, its datagram's end, or the longest datagram.
    FragmentMalformed => "fragment_malformed",
    /// The first fragment lacks a part of the transport header, or a later one begins inside it.
    FragmentTiny => "fragment_tiny",
    /// The fragment, or one before it of the same datagram, overlaps another.
    FragmentOverlap => "fragment_overlap",
    /// The same part of the datagram has come before.
    FragmentDuplicate => "fragment_duplicate",
    /// The fragment waited for its first, and others needed its place; or its datagram is in too many pieces.
    FragmentLimit => "fragment_limit",
    /// A message about link state was forged, ancient, of a stranger, or made no sense.
    LinkState => "link_state",
    /// The packet's source route names a node twice, node 0 or an end of its way, or says that it has passed more hops than it has.
    OverlaySourceRoute => "overlay_source_route",
    /// The client has as many NAT sessions or ports as it may have.
    NatClientLimit => "nat_client_limit",
    /// The client makes NAT sessions faster than it may.
    NatClientRate => "nat_client_rate",
    /// A RST, or a segment quoted in an ICMP error, is none that the connection can have at this point.
    NatTcpSequence => "nat_tcp_sequence",
    /// An ICMP error tells an MTU that no path can have.
    NatMtuFloor => "nat_mtu_floor",
    /// No virtual IP of the client's edge stands for the sender, so that the client could not answer it.
    NatNoVip => "nat_no_vip",
    /// A TCP connection from outside that the NAT does not let in; it is answered after six seconds at the earliest.
    NatUnsolicited => "nat_unsolicited",
    /// Another gateway has this block of NAT addresses now, or this one's lease on it has run out.
    NatNotHolder => "nat_not_holder",
    /// The block of NAT addresses has just changed hands: clients' bindings are awaited before new ones are made.
    NatSettling => "nat_settling",
    /// The packet was under way in this process for so long that a lease may have run out.
    LeaseStale => "lease_stale",
    /// A binding record makes no sense here, or comes from where it must not.
    Binding => "binding",
}

impl Reason {
    /// How many reasons there are.
    pub const COUNT: usize = Reason::ALL.len();

    /// The reason's number, an index into tables of [`Reason::COUNT`].
    #[inline(always)]
    pub const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_snake_case_and_described() {
        let mut names: Vec<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
        for (number, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(reason.index(), number);
            assert!(reason.name().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
            assert!(reason.description().ends_with('.'), "{}", reason.name());
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Reason::COUNT);
    }
}
