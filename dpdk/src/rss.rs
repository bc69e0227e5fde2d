//! How a device spreads packets over its receive queues.

use std::fmt;

/// A Toeplitz hash key.
#[derive(Clone, PartialEq, Eq)]
pub struct RssKey(Box<[u8]>);

impl RssKey {
    /// The key of these bytes: 40 for most devices, 52 for some.
    pub fn new(bytes: &[u8]) -> RssKey {
        RssKey(bytes.into())
    }

    /// The key's bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for RssKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// How a running port spreads packets over its queues: Toeplitz hash with `key`, of which the low bits pick
/// an entry of `table`, which names the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rss {
    /// The hash key the device uses.
    pub key: RssKey,
    /// The queue for each hash modulo the table's length.
    pub table: Vec<u16>,
}
