//! The keys that workers read: a snapshot, replaced as a whole.

use super::hop::HopKey;
use super::sealer::{Opener, Sealer};
use crate::keys::{End, EpochSecret, derive};
use crate::topology::NodeId;
use packet::Reason;
use std::sync::Arc;

/// No peer of this number.
const NONE: u16 = u16::MAX;

/// Everything for one pair of epochs, ours and a peer's.
pub(crate) struct Pair {
    sealer: Sealer,
    opener: Opener,
    hop_out: HopKey,
    hop_in: HopKey,
}

impl Pair {
    /// Derives all keys of a pair; `None` where the peer's public key is none.
    pub(crate) fn new(overlay_id: u32, secret: &EpochSecret, ours: &End, theirs: &End) -> Option<Pair> {
        let shared = secret.agree(&theirs.public)?;
        let out = derive(&shared, overlay_id, ours, theirs)?;
        let back = derive(&shared, overlay_id, theirs, ours)?;
        let sealer = Sealer::new(&out, overlay_id, ours, theirs)?;
        let opener = Opener::new(&back, overlay_id, theirs, ours)?;
        let hop_out = HopKey::new(out.hop, sealer.epoch());
        let hop_in = HopKey::new(back.hop, opener.epoch());
        Some(Pair { sealer, opener, hop_out, hop_in })
    }
}

/// The keys shared with one peer.
#[derive(Default)]
pub struct PeerKeys {
    /// What we send under.
    sending: Option<Arc<Pair>>,
    /// What we take, by the name that packets give it, the newest first.
    taken: Vec<(u8, Arc<Pair>)>,
    /// The number of the life that the peer is in.
    life: u16,
}

impl PeerKeys {
    pub(crate) fn new(
        life: u16,
        sending: Option<Arc<Pair>>,
        pairs: impl Iterator<Item = Arc<Pair>>,
    ) -> PeerKeys {
        PeerKeys { sending, taken: pairs.map(|pair| (pair.opener.epoch(), pair)).collect(), life }
    }

    /// The number of the life that the peer is in, another one each time that it starts anew; 0 before it has told one.
    /// What opens with these keys was sealed in this life: those of the life before are gone, with everything that
    /// was recorded in it.
    #[inline(always)]
    pub fn life(&self) -> u16 {
        self.life
    }

    /// Seals packets to the peer.
    ///
    /// # Errors
    /// [`Reason::OverlayNoKey`] where the peer has not acknowledged a key of ours.
    #[inline(always)]
    pub fn sealer(&self) -> Result<&Sealer, Reason> {
        self.sending.as_ref().map(|pair| &pair.sealer).ok_or(Reason::OverlayNoKey)
    }

    /// Opens the peer's packets of this key epoch.
    ///
    /// # Errors
    /// [`Reason::OverlayUnknownKey`] where there is no such pair of epochs, or no longer.
    #[inline(always)]
    pub fn opener(&self, epoch: u8) -> Result<&Opener, Reason> {
        self.find(epoch).map(|pair| &pair.opener)
    }

    /// Authenticates what we send over the link to the peer.
    ///
    /// # Errors
    /// [`Reason::OverlayNoKey`] as [`PeerKeys::sealer`].
    #[inline(always)]
    pub fn hop_out(&self) -> Result<&HopKey, Reason> {
        self.sending.as_ref().map(|pair| &pair.hop_out).ok_or(Reason::OverlayNoKey)
    }

    /// Checks what comes over the link from the peer, of this link epoch.
    ///
    /// # Errors
    /// [`Reason::OverlayUnknownKey`] as [`PeerKeys::opener`].
    #[inline(always)]
    pub fn hop_in(&self, link_epoch: u8) -> Result<&HopKey, Reason> {
        self.find(link_epoch).map(|pair| &pair.hop_in)
    }

    /// At most nine to compare with, and mostly the first is it.
    #[inline(always)]
    fn find(&self, epoch: u8) -> Result<&Pair, Reason> {
        let found = self.taken.iter().find(|(name, _)| *name == epoch);
        found.map(|(_, pair)| &**pair).ok_or(Reason::OverlayUnknownKey)
    }
}

/// The keys shared with all peers: what a worker reads until it gets the next one.
#[derive(Default)]
pub struct SealTable {
    generation: u64,
    /// By a node's number, its place in `peers`.
    index: Box<[u16]>,
    peers: Vec<PeerKeys>,
}

impl SealTable {
    pub(crate) fn new(generation: u64, peers: impl Iterator<Item = (NodeId, PeerKeys)>) -> SealTable {
        let (mut index, mut list) = (Vec::new(), Vec::new());
        for (node, keys) in peers {
            let at = usize::from(node.0);
            index.resize(index.len().max(at + 1), NONE);
            if let (Some(place), Ok(number)) = (index.get_mut(at), u16::try_from(list.len())) {
                *place = number;
                list.push(keys);
            }
        }
        SealTable { generation, index: index.into_boxed_slice(), peers: list }
    }

    /// Which of the keyring's tables this is: what [`Keyring::published`](crate::keys::Keyring::published) is told
    /// once every worker reads it.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The keys shared with a node; `None` for a node without a public key.
    ///
    /// Where there are keys, packets must be sealed or authenticated: what to demand is never read from a packet.
    #[inline(always)]
    pub fn peer(&self, node: NodeId) -> Option<&PeerKeys> {
        let place = *self.index.get(usize::from(node.0))?;
        self.peers.get(usize::from(place))
    }
}
