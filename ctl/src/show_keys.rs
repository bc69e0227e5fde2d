//! Keys in the form that people read.

use crate::keys::{KeyPeer, Keys};
use crate::show::duration;
use crate::table::{Table, thousands};

/// Digits of a public identity that are shown.
const FINGERPRINT: usize = 16;

pub(crate) fn show_keys(keys: &Keys) -> String {
    let Keys { name, epoch, held, rotations, .. } = keys;
    let mut text = format!(
        "identity {}\nepoch {name} ({epoch}), made {} ago, the next in {}; {held} private keys held, {} made since the start\n\n",
        keys.identity,
        duration(keys.age_seconds),
        duration(keys.next_seconds),
        thousands(*rotations),
    );
    let mut table = Table::new(&["peer", "identity", "its epoch", "sending from", "has our key", "heard"]);
    for peer in &keys.peers {
        let KeyPeer { node, epoch, sending, heard_seconds, .. } = peer;
        let sending = sending.map_or("none".to_owned(), |name| format!("epoch {name}"));
        let heard = heard_seconds.map_or("never".to_owned(), |seconds| duration(seconds) + " ago");
        let epoch = epoch.map_or("-".to_owned(), |epoch| (epoch % 16).to_string());
        let has = if peer.acknowledged { "yes" } else { "no" };
        table.row([node.clone(), fingerprint(&peer.identity), epoch, sending, has.to_owned(), heard]);
    }
    text += &table.text();
    for rejection in &keys.rejected {
        text += &format!("\nmessages not taken, {}: {}", rejection.reason, thousands(rejection.messages));
    }
    text + if keys.rejected.is_empty() { "" } else { "\n" }
}

fn fingerprint(identity: &str) -> String {
    let digits = identity.rsplit(':').next().unwrap_or(identity);
    digits.chars().take(FINGERPRINT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_without_keys_is_seen() {
        let identity = format!("ed25519:{}", "ab".repeat(32));
        let silent = KeyPeer { node: "mid-1".to_owned(), identity: identity.clone(), ..KeyPeer::default() };
        let good = KeyPeer {
            node: "mid-2".to_owned(),
            epoch: Some(0x123),
            sending: Some(7),
            acknowledged: true,
            heard_seconds: Some(5),
            ..silent.clone()
        };
        let text = show_keys(&Keys { identity, name: 7, peers: vec![silent, good], ..Keys::default() });
        let row = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        assert!(row("mid-1").contains("none") && row("mid-1").contains("never"), "{text}");
        assert!(row("mid-2").contains("epoch 7") && row("mid-2").contains("5 s ago"), "{text}");
        assert!(row("mid-2").contains(" abababababababab "), "{text}");
    }
}
