//! What an operator may decide about translation; the defaults are what the RFCs ask for.

/// Which outside endpoints may send to a client's external address and port (RFC 4787 section 5). A further variant
/// is stricter than those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Filtering {
    /// All.
    #[default]
    EndpointIndependent,
    /// Those at an address that the client has sent to.
    AddressDependent,
    /// Those that the client has sent to.
    AddressAndPortDependent,
}

impl Filtering {
    pub(crate) const MASK: u8 = 0b11;

    pub(crate) fn of(bits: u8) -> Filtering {
        match bits & Filtering::MASK {
            0 => Filtering::EndpointIndependent,
            1 => Filtering::AddressDependent,
            _ => Filtering::AddressAndPortDependent,
        }
    }
}

/// What one worker lets a client have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientLimits {
    /// Sessions of TCP, of UDP, and of all other protocols.
    pub sessions: [u32; 3],
    /// External ports, of all protocols together (RFC 6888 REQ-4).
    pub ports: u32,
    /// New sessions a second; 0 for as many as come (RFC 6888 REQ-5).
    pub sessions_per_second: u32,
    /// New sessions at once, before that rate counts.
    pub burst: u32,
}

impl Default for ClientLimits {
    fn default() -> ClientLimits {
        ClientLimits { sessions: [u32::MAX; 3], ports: u32::MAX, sessions_per_second: 0, burst: 0 }
    }
}

/// What an operator may decide about translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Clients that can have sessions at one time; 0 for half as many as sessions, and at least 64.
    pub clients_max: usize,
    /// What a client may have.
    pub client: ClientLimits,
    /// Percent of sessions and of each address's ports that only clients with few of them may use.
    pub reserve_percent: u8,
    /// How many are few.
    pub few: u32,
    /// How long a port rests before another client may have it, seconds (RFC 6888 REQ-8).
    pub quarantine_s: u32,
    /// Whether an even port becomes an even one and an odd one an odd one, while there are both (RFC 4787 REQ-4).
    pub parity: bool,
    /// Whether packets from the origin's side keep a UDP session alive too (RFC 4787 REQ-6 a).
    pub inbound_refresh: bool,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            clients_max: 0,
            client: ClientLimits::default(),
            reserve_percent: 5,
            few: 16,
            quarantine_s: 120,
            parity: true,
            inbound_refresh: true,
        }
    }
}
