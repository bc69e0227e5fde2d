//! Keys, seals, hop authenticators and messages against the test vectors of `docs/vectors/keys.txt`.
#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used)] // a failed unwrap here is a failed test

use proa_overlay::keys::{
    Acknowledgement, End, Epoch, EpochSecret, Identity, Message, PublicIdentity, SignedKey, derive,
};
use proa_overlay::seal::{HopKey, Opener, Sealer, Shared, tail};
use proa_overlay::topology::{IpVersion, NodeId, PathId};
use proa_overlay::wire::Header;
use std::collections::BTreeMap;

const FILE: &str = include_str!("../../docs/vectors/keys.txt");

/// A block's values; indented lines are joined to the value before.
struct Block(BTreeMap<&'static str, String>);

fn blocks() -> BTreeMap<&'static str, Block> {
    let mut blocks = BTreeMap::new();
    let (mut name, mut key) = ("", "");
    for line in FILE.lines().map(|line| line.split('#').next().unwrap()) {
        if let Some(found) = line.strip_prefix('[') {
            name = found.trim_end().strip_suffix(']').unwrap();
            blocks.insert(name, Block(BTreeMap::new()));
        } else if let Some((found, value)) = line.split_once('=') {
            key = found.trim();
            blocks.get_mut(name).unwrap().0.insert(key, value.trim().to_owned());
        } else if line.starts_with(' ') {
            let value = blocks.get_mut(name).unwrap().0.get_mut(key).unwrap();
            *value += &line.replace(' ', "");
        }
    }
    blocks
}

impl Block {
    fn text(&self, key: &str) -> &str {
        self.0.get(key).unwrap_or_else(|| panic!("no {key}"))
    }

    fn number<T: TryFrom<u64>>(&self, key: &str) -> T {
        T::try_from(self.text(key).parse().unwrap()).ok().unwrap()
    }

    fn bytes(&self, key: &str) -> Vec<u8> {
        let digits = self.text(key);
        let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
        (0..digits.len()).step_by(2).map(byte).collect()
    }

    fn array<const N: usize>(&self, key: &str) -> [u8; N] {
        self.bytes(key).try_into().unwrap()
    }

    fn end(&self, which: &str) -> (EpochSecret, End) {
        let secret = EpochSecret::new(&self.array(&format!("{which}_secret"))).unwrap();
        let public = self.array(&format!("{which}_public"));
        assert_eq!(secret.public(), public);
        let node = NodeId(self.number(&format!("{which}_node")));
        (secret, End { node, epoch: Epoch(self.number(&format!("{which}_epoch"))), public })
    }
}

#[test]
fn directions_give_their_keys_seals_and_authenticators() {
    let blocks = blocks();
    for name in ["edge-to-gateway", "gateway-to-edge"] {
        let block = &blocks[name];
        let ((our_secret, from), (their_secret, to)) = (block.end("from"), block.end("to"));
        let secret = our_secret.agree(&to.public).unwrap();
        assert_eq!(their_secret.agree(&from.public).unwrap(), secret);
        let overlay = block.number("overlay");
        let keys = derive(&secret, overlay, &from, &to).unwrap();
        assert_eq!(keys.seal, block.array("key"), "{name}");
        assert_eq!(keys.salt, block.array("salt"), "{name}");
        assert_eq!(keys.hop, block.array("hop_key"), "{name}");

        let inner = if block.text("inner") == "ipv4" { IpVersion::V4 } else { IpVersion::V6 };
        let sealer = Sealer::new(&keys, overlay, &from, &to).unwrap();
        let mut header = Header {
            vni: overlay,
            inner,
            protocol: block.number("protocol"),
            copies: block.number("copies"),
            hop_limit: block.number("hop_limit"),
            source: from.node,
            destination: to.node,
            authenticator: 0,
            stream: block.number("stream"),
            path: PathId(block.number("path")),
            epoch: sealer.epoch(),
            path_sequence: block.number("path_sequence"),
            sequence: block.number("sequence"),
        };
        let mut sealed = block.bytes("plain");
        let tag = sealer.seal(&Shared::from(&header), &mut sealed).unwrap();
        sealed.extend(tag);
        assert_eq!(sealed, block.bytes("sealed"), "{name}");

        let hop = HopKey::new(keys.hop, sealer.epoch());
        header.authenticator = u64::from_str_radix(block.text("authenticator"), 16).unwrap();
        assert!(hop.check(&header, &tail(&sealed).unwrap()), "{name}");

        let opener = Opener::new(&keys, overlay, &from, &to).unwrap();
        let len = opener.open(&Shared::from(&header), &mut sealed).unwrap();
        assert_eq!(sealed[..len], block.bytes("plain"), "{name}");
    }
}

#[test]
fn messages_are_read_and_written() {
    let blocks = blocks();
    let block = &blocks["announcement"];
    let identity = Identity::from_seed(&block.array("from_seed")).unwrap();
    assert_eq!(identity.public(), PublicIdentity(block.array("from_identity")));
    let key = SignedKey {
        overlay_id: block.number("overlay"),
        node: NodeId(block.number("from_node")),
        life: block.number("life"),
        epoch: Epoch(block.number("epoch")),
        not_before_s: block.number("not_before"),
        lifetime_s: block.number("lifetime"),
        public: block.array("public"),
        signature: [0; 64],
    };
    let key = key.sign(&identity);
    assert!(key.is_signed_by(&identity.public()));
    let to = PublicIdentity(block.array("to_identity"));
    let message = Message::Announcement(key);
    assert_eq!(message.to_bytes(&to), block.bytes("message"));
    assert_eq!(Message::from_bytes(&block.bytes("message"), &to), Some(message));

    let block = &blocks["acknowledgement"];
    let to = PublicIdentity(block.array("to_identity"));
    let Some(Message::Acknowledgement(ack)) = Message::from_bytes(&block.bytes("message"), &to) else {
        panic!("no acknowledgement");
    };
    let signature = ack.signature;
    let expected = Acknowledgement {
        overlay_id: block.number("overlay"),
        from: NodeId(block.number("from_node")),
        to: NodeId(block.number("to_node")),
        life: block.number("life"),
        epoch: Epoch(block.number("epoch")),
        signature,
    };
    assert_eq!(ack, expected);
    assert_eq!(Message::Acknowledgement(ack).to_bytes(&to), block.bytes("message"));
}
