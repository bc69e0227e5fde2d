//! How clients are translated by prefix.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// A gateway's rules of prefix translation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prefixes {
    /// The rules; where an address was asked for, those that it is inside or outside of.
    pub prefixes: Vec<Prefix>,
    /// Packets that were translated towards origins, of all rules together.
    pub to_origin: u64,
    /// Packets that were translated towards clients.
    pub to_client: u64,
}

/// A rule of prefix translation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prefix {
    /// The application.
    pub application: String,
    /// The virtual IP that its clients send to.
    pub vip: IpAddr,
    /// The edge that holds it.
    pub edge: String,
    /// The clients' prefix.
    pub inside: String,
    /// What origins see instead.
    pub outside: String,
    /// The address that was asked for, on the other side; `None` where there was none, or it can not be translated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub translated: Option<IpAddr>,
}
