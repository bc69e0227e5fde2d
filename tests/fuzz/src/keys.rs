//! Messages about keys: any bytes may come, in any order, at any time, between what honest nodes say.
//!
//! An input is a list of records: a kind, and what belongs to it.
//!
//! | kind mod 5 | then | what happens |
//! |---|---|---|
//! | 0 | length, bytes | the bytes come to node 1 as they are |
//! | 1 | length, bytes | the same, with a prefilter that holds |
//! | 2 | seconds, two bytes | time passes; everybody rotates, erases, compiles |
//! | 3 | which, length, bytes | an honest message that is waiting comes, spoilt by the bytes, if there are any |
//! | 4 | which | an honest message that is waiting is lost |

use crate::input::Input;
use crate::seeds::Seed;
use overlay::keys::{
    Announcer, EPOCHS_MAX, Event, Identity, Keyring, MESSAGE_LEN_MAX, Message, Now, PublicIdentity, Settings,
    prefilter,
};
use overlay::seal::{SealTable, Shared};
use overlay::topology::{IpVersion, NodeId};

const NODES: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(4)];
const UNIX_MS: u64 = 1_780_000_000_000;
/// Messages that wait; more are lost.
const WAITING_MAX: usize = 64;

struct Node {
    id: NodeId,
    announcer: Announcer,
    table: SealTable,
}

struct World {
    nodes: Vec<Node>,
    now_ms: u64,
    random: u8,
    waiting: Vec<(NodeId, Vec<u8>)>,
    /// Everything that was ever said: what else comes is forged.
    said: Vec<(NodeId, Vec<u8>)>,
}

fn public(node: NodeId) -> PublicIdentity {
    Identity::from_seed(&[node.0 as u8; 32]).expect("an identity").public()
}

impl World {
    fn new() -> World {
        let mut world = World { nodes: vec![], now_ms: 0, random: 0, waiting: vec![], said: vec![] };
        for id in NODES {
            let settings = Settings { overlay_id: 7, node: id, rotation_s: 60 };
            let identity = Identity::from_seed(&[id.0 as u8; 32]).expect("an identity");
            let now = world.now();
            let mut keyring = Keyring::new(settings, identity, now, &world.random()).expect("a key");
            keyring.set_peers(NODES.map(|node| (node, public(node))));
            let announcer = Announcer::new(keyring);
            world.nodes.push(Node { id, announcer, table: SealTable::default() });
        }
        world.pass(0);
        world
    }

    fn now(&self) -> Now {
        Now { monotonic_ms: self.now_ms, unix_ms: UNIX_MS + self.now_ms }
    }

    fn random(&mut self) -> [u8; 32] {
        self.random = self.random.wrapping_add(1);
        [self.random; 32]
    }

    /// Time passes, and everybody does what is due.
    fn pass(&mut self, seconds: u16) {
        self.now_ms += u64::from(seconds) * 1000;
        let now = self.now();
        for place in 0..self.nodes.len() {
            let random = self.random();
            let node = &mut self.nodes[place];
            let keyring = node.announcer.keyring_mut();
            keyring.rotate(now, &random);
            keyring.expire(now);
            assert!((1..=EPOCHS_MAX).contains(&keyring.own_epochs()));
            if let Some(table) = keyring.compile() {
                keyring.published(table.generation());
                node.table = table;
            }
            while let Some((to, message)) = node.announcer.poll_transmit(now) {
                assert!(NODES.contains(&to) && to != node.id && message.len() <= MESSAGE_LEN_MAX);
                assert!(Message::from_bytes(&message, &public(to)).is_some());
                self.said.push((to, message.clone()));
                if self.waiting.len() < WAITING_MAX {
                    self.waiting.push((to, message));
                }
            }
        }
    }

    /// A message comes. If nobody said it to this node, it must change nothing.
    fn deliver(&mut self, to: NodeId, message: &[u8]) {
        let now = self.now();
        let honest = self.said.iter().any(|(node, said)| *node == to && said == message);
        let Some(node) = self.nodes.iter_mut().find(|node| node.id == to) else { return };
        let result = node.announcer.handle(message, now);
        if !honest {
            let changed = node.announcer.keyring_mut().compile();
            assert!(changed.is_none(), "{result:?} changed the keys");
        }
        if let Ok(Event::Key(from, _) | Event::Acknowledged(from, _)) = result {
            assert!(NODES.contains(&from) && from != to);
        }
        self.pass(0);
    }

    /// What one end seals, the other opens, wherever both have the keys.
    fn check(&self) {
        for from in &self.nodes {
            for to in self.nodes.iter().filter(|to| to.id != from.id) {
                let sealer = from.table.peer(to.id).and_then(|keys| keys.sealer().ok());
                let Some(sealer) = sealer else { continue };
                let keys = to.table.peer(from.id).expect("a peer");
                let Ok(opener) = keys.opener(sealer.epoch()) else { continue };
                let shared = Shared { protocol: 2, inner: IpVersion::V4, stream: 1, sequence: self.now_ms };
                let mut packet = vec![7; 20];
                let tag = sealer.seal(&shared, &mut packet).expect("a seal");
                packet.extend(tag);
                // Names go round: after long silence a name may be another epoch's.
                if let Ok(len) = opener.open(&shared, &mut packet) {
                    assert_eq!(packet[..len], [7; 20]);
                }
            }
        }
    }
}

/// The message with the prefilter that it must have.
fn mended(bytes: &[u8]) -> Vec<u8> {
    let value = prefilter(&public(NODES[0]), bytes);
    [bytes, &value.to_be_bytes()].concat()
}

/// Nothing but what a peer signed changes a node's keys.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let mut world = World::new();
    // A record costs a signature or two: a bounded number says enough.
    for _ in 0..64 {
        if input.is_empty() {
            break;
        }
        match input.byte() % 5 {
            0 => {
                let len = input.byte().into();
                world.deliver(NODES[0], input.take(len));
            }
            1 => {
                let len = input.byte().into();
                world.deliver(NODES[0], &mended(input.take(len)));
            }
            2 => world.pass(input.word()),
            3 => {
                let which = usize::from(input.byte());
                let len = usize::from(input.byte() % 8);
                let spoilt = input.take(len);
                if !world.waiting.is_empty() {
                    let (to, mut message) = world.waiting.remove(which % world.waiting.len());
                    for pair in spoilt.chunks(2) {
                        let at = usize::from(pair[0]) % message.len();
                        message[at] ^= pair.get(1).copied().unwrap_or(1);
                    }
                    world.deliver(to, &message);
                }
            }
            _ => {
                let which = usize::from(input.byte());
                if !world.waiting.is_empty() {
                    world.waiting.remove(which % world.waiting.len());
                }
            }
        }
    }
    world.check();
}

/// Two seeds that lead to keys, one with what an outsider sends.
pub fn seeds() -> Vec<Seed> {
    let deliver_all = [3, 0, 0].repeat(24);
    let rotate = [&deliver_all[..], &[2, 0, 61], &deliver_all, &[2, 0, 61], &deliver_all].concat();
    let world = World::new();
    let mut outsider = Vec::new();
    for (_, message) in world.waiting.iter().filter(|(to, _)| *to == NODES[0]) {
        outsider.extend([0, message.len() as u8]);
        outsider.extend(message.iter().map(|byte| byte ^ 1));
        outsider.extend([1, message.len() as u8 - 8]);
        outsider.extend(message[..message.len() - 9].iter().chain(&[0]));
    }
    vec![
        ("mesh".to_owned(), deliver_all),
        ("rotate".to_owned(), rotate),
        ("outsider".to_owned(), outsider),
        ("spoilt".to_owned(), [3, 1, 2, 40, 1, 3, 0, 4, 9, 9, 70, 1, 2, 0, 5, 4, 0, 3, 2, 0].to_vec()),
    ]
}
