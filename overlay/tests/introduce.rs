//! What a keyring takes from peers, and every reason not to.
#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used)] // a failed unwrap here is a failed test

use proa_overlay::keys::*;
use proa_overlay::topology::NodeId;
use proptest::prelude::*;

const OVERLAY: u32 = 7;
const US: NodeId = NodeId(1);
const PEER: NodeId = NodeId(4);
const NOW: Now = Now { monotonic_ms: 1_000_000, unix_ms: 1_780_000_000_000 };
const DAY_S: u64 = 86_400;

fn identity(node: NodeId) -> Identity {
    Identity::from_seed(&[node.0 as u8; 32]).unwrap()
}

fn keyring() -> Keyring {
    let settings = Settings { overlay_id: OVERLAY, node: US, rotation_s: 3600 };
    let mut keyring = Keyring::new(settings, identity(US), NOW, &[9; 32]).unwrap();
    keyring.set_peers([US, PEER].map(|node| (node, identity(node).public())));
    keyring
}

/// The peer's epoch that is so many after its first.
fn key(number: u64) -> SignedKey {
    let public = EpochSecret::new(&[100 + number as u8; 32]).unwrap().public();
    let first = Epoch::first(NOW.unix_ms, 0);
    let epoch = (0..number).fold(first, |epoch, _| epoch.next(NOW.unix_ms));
    SignedKey {
        overlay_id: OVERLAY,
        node: PEER,
        life: NOW.unix_ms,
        epoch,
        not_before_s: NOW.unix_ms / 1000,
        lifetime_s: 10_800,
        public,
        signature: [0; 64],
    }
}

fn later(seconds: u64) -> Now {
    Now { monotonic_ms: NOW.monotonic_ms + seconds * 1000, unix_ms: NOW.unix_ms + seconds * 1000 }
}

#[test]
fn every_reason_to_reject_a_key() {
    let good = key(1);
    let unix_s = NOW.unix_ms / 1000;
    let rejected = [
        (SignedKey { overlay_id: 8, ..good }, Rejected::OtherOverlay),
        (SignedKey { node: NodeId(5), ..good }, Rejected::UnknownNode),
        (SignedKey { node: US, ..good }, Rejected::UnknownNode),
        (SignedKey { epoch: Epoch(good.epoch.0 & !0xf), ..good }, Rejected::Malformed),
        (SignedKey { life: 0, ..good }, Rejected::Malformed),
        (SignedKey { lifetime_s: 0, ..good }, Rejected::Lifetime),
        (SignedKey { lifetime_s: LIFETIME_MAX_S + 1, ..good }, Rejected::Lifetime),
        (SignedKey { not_before_s: unix_s + DAY_S + 1, ..good }, Rejected::NotYet),
        (SignedKey { not_before_s: u64::MAX, ..good }, Rejected::NotYet),
        (SignedKey { not_before_s: unix_s - DAY_S - 10_800, ..good }, Rejected::Expired),
    ];
    let mut keyring = keyring();
    assert!(keyring.compile().is_some());
    for (key, why) in rejected {
        assert_eq!(keyring.introduce(&key.sign(&identity(PEER)), NOW), Err(why), "{key:?}");
    }
    assert_eq!(keyring.introduce(&good, NOW), Err(Rejected::BadSignature));
    assert_eq!(keyring.introduce(&good.sign(&identity(US)), NOW), Err(Rejected::BadSignature));
    // A public key with which everybody agrees on the same secret, though well signed.
    let weak = SignedKey { public: [0; 32], ..good }.sign(&identity(PEER));
    assert_eq!(keyring.introduce(&weak, NOW), Err(Rejected::BadSignature));
    assert!(keyring.compile().is_none(), "nothing changed");
    assert_eq!(keyring.introduce(&good.sign(&identity(PEER)), NOW), Ok(Introduced::Life));
    assert!(keyring.compile().is_some());
}

#[test]
fn older_epochs_and_lives_are_replays() {
    let mut keyring = keyring();
    let signed = |key: SignedKey| key.sign(&identity(PEER));
    assert_eq!(keyring.introduce(&signed(key(1)), NOW), Ok(Introduced::Life));
    assert_eq!(keyring.introduce(&signed(key(2)), NOW), Ok(Introduced::Epoch));
    assert_eq!(keyring.introduce(&signed(key(1)), NOW), Ok(Introduced::Known));
    assert_eq!(keyring.introduce(&signed(key(0)), NOW), Err(Rejected::Replayed));
    let other = SignedKey { public: key(5).public, ..key(2) };
    assert_eq!(
        keyring.introduce(&signed(other), NOW),
        Err(Rejected::Replayed),
        "another key of an old number"
    );
    let former = SignedKey { life: NOW.unix_ms - 1, ..key(9) };
    assert_eq!(keyring.introduce(&signed(former), NOW), Err(Rejected::Replayed));
    // A new life begins anew, whatever its number.
    let anew = SignedKey { life: NOW.unix_ms + 1, ..key(0) };
    assert_eq!(keyring.introduce(&signed(anew), NOW), Ok(Introduced::Life));
    assert_eq!(keyring.introduce(&signed(key(2)), NOW), Err(Rejected::Replayed));
}

#[test]
fn a_peer_has_three_epochs_and_no_more_than_three_in_a_minute() {
    let mut keyring = keyring();
    let mut introduce = |number, now| keyring.introduce(&key(number).sign(&identity(PEER)), now);
    assert_eq!(introduce(0, NOW), Ok(Introduced::Life));
    assert_eq!(introduce(1, NOW), Ok(Introduced::Epoch));
    assert_eq!(introduce(2, NOW), Ok(Introduced::Epoch));
    assert_eq!(introduce(3, later(59)), Err(Rejected::TooMany));
    assert_eq!(introduce(3, later(60)), Ok(Introduced::Epoch));
    assert_eq!(introduce(0, later(60)), Err(Rejected::Replayed), "the oldest made room");
    // An epoch of a held name would be mistaken for the other.
    let same_name = SignedKey { epoch: Epoch(key(3).epoch.0 + 16), ..key(3) };
    let result = keyring.introduce(&same_name.sign(&identity(PEER)), later(200));
    assert_eq!(result, Err(Rejected::Malformed));
}

#[test]
fn a_flood_in_a_peers_name_is_limited_and_answers_are_no_longer_than_questions() {
    let mut announcer = Announcer::new(keyring());
    let us = identity(US).public();
    let flood = |number: u64| {
        // Plausible in every field, and never signed: each would cost a verification.
        let key = SignedKey { life: NOW.unix_ms + 1 + number, ..key(1) };
        Message::Announcement(key).to_bytes(&us)
    };
    let (mut limited, mut verified) = (0, 0);
    for number in 0..10_000 {
        match announcer.handle(&flood(number), later(number / 1000)) {
            Err(Refused::Limited) => limited += 1,
            Err(Refused::Rejected(Rejected::BadSignature)) => verified += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(verified <= 8 + 10 * 4 && limited + verified == 10_000, "{verified}");
    // Nothing is said to it, since nothing is published yet.
    assert_eq!(announcer.poll_transmit(later(10)), None);
    let table = announcer.keyring_mut().compile().unwrap();
    announcer.keyring_mut().published(table.generation());
    while announcer.poll_transmit(later(10)).is_some() {}

    // A true announcement, replayed without end: acknowledged now and then, with fewer bytes.
    let message = Message::Announcement(key(1).sign(&identity(PEER))).to_bytes(&us);
    assert!(announcer.handle(&message, later(20)).is_ok());
    let table = announcer.keyring_mut().compile().unwrap();
    announcer.keyring_mut().published(table.generation());
    while announcer.poll_transmit(later(20)).is_some() {}
    let (mut bytes_in, mut acknowledgements) = (0, 0);
    for second in 21..121 {
        for _ in 0..100 {
            bytes_in += message.len();
            assert_eq!(announcer.handle(&message, later(second)), Ok(Event::Key(PEER, Introduced::Known)));
            while let Some((to, answer)) = announcer.poll_transmit(later(second)) {
                assert_eq!(to, PEER);
                if matches!(
                    Message::from_bytes(&answer, &identity(PEER).public()),
                    Some(Message::Acknowledgement(_))
                ) {
                    assert!(answer.len() < message.len());
                    acknowledgements += 1;
                }
            }
        }
    }
    assert!(acknowledgements <= 4 + 4 * 100, "{acknowledgements}");
    assert!(bytes_in > acknowledgements * message.len());
}

#[test]
fn an_acknowledgement_is_believed_for_this_life_and_our_epochs_only() {
    let (mut ours, peer) = (keyring(), identity(PEER));
    ours.introduce(&key(1).sign(&peer), NOW).unwrap();
    // Ours says what it wants to have acknowledged.
    let table = ours.compile().unwrap();
    ours.published(table.generation());
    let mut announcer = Announcer::new(ours);
    let (_, message) = announcer.poll_transmit(NOW).unwrap();
    let Some(Message::Announcement(announced)) = Message::from_bytes(&message, &peer.public()) else {
        panic!()
    };

    // The peer, as a keyring of its own.
    let settings = Settings { overlay_id: OVERLAY, node: PEER, rotation_s: 3600 };
    let mut theirs = Keyring::new(settings, identity(PEER), NOW, &[7; 32]).unwrap();
    theirs.set_peers([(US, identity(US).public())]);
    theirs.introduce(&announced, NOW).unwrap();
    let table = theirs.compile().unwrap();
    theirs.published(table.generation());
    let mut theirs = Announcer::new(theirs);
    theirs.handle(&message, NOW).unwrap();
    let (_, answer) = theirs.poll_transmit(NOW).unwrap();
    let us = identity(US).public();
    let Some(Message::Acknowledgement(ack)) = Message::from_bytes(&answer, &us) else { panic!() };

    let keyring = announcer.keyring_mut();
    for (wrong, why) in [
        (Acknowledgement { overlay_id: 8, ..ack }, Rejected::OtherOverlay),
        (Acknowledgement { from: NodeId(9), ..ack }, Rejected::UnknownNode),
        (Acknowledgement { to: NodeId(9), ..ack }, Rejected::UnknownNode),
        (Acknowledgement { life: ack.life - 1, ..ack }, Rejected::Replayed),
        (Acknowledgement { epoch: Epoch(ack.epoch.0 + 1), ..ack }, Rejected::Replayed),
        (Acknowledgement { signature: [1; 64], ..ack }, Rejected::BadSignature),
    ] {
        assert_eq!(keyring.acknowledged(&wrong, NOW), Err(why));
    }
    assert!(keyring.compile().is_none(), "nothing changed");
    assert_eq!(keyring.acknowledged(&ack, NOW), Ok(true));
    assert!(keyring.compile().unwrap().peer(PEER).unwrap().sealer().is_ok());
    assert_eq!(keyring.acknowledged(&ack, NOW), Ok(false));
    // The peer starts anew: it has nothing of ours, and its former word counts no more.
    let anew = SignedKey { life: NOW.unix_ms + 5, ..key(2) }.sign(&peer);
    assert_eq!(keyring.introduce(&anew, NOW), Ok(Introduced::Life));
    assert_eq!(keyring.acknowledged(&ack, NOW), Err(Rejected::Replayed));
    assert!(keyring.compile().unwrap().peer(PEER).unwrap().sealer().is_err());
}

proptest! {
    #[test]
    fn any_changed_bit_of_a_signed_key_breaks_it(bit in 0usize..SIGNED_LEN * 8) {
        let good = key(1).sign(&identity(PEER));
        let mut bytes = good.to_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let changed = SignedKey::from_bytes(&bytes);
        prop_assert_eq!(changed.to_bytes(), bytes);
        prop_assert!(keyring().introduce(&changed, NOW).is_err());
    }

    #[test]
    fn no_message_panics_and_what_is_read_is_what_was_written(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        kind in 0u8..4,
        whole in any::<bool>(),
    ) {
        let us = identity(US).public();
        let mut bytes = bytes;
        if whole {
            bytes.resize(if kind == 1 { 139 } else { 97 }, 7);
        }
        bytes.first_mut().into_iter().for_each(|first| *first = kind);
        if let Some(message) = Message::from_bytes(&bytes, &us) {
            prop_assert_eq!(message.to_bytes(&us), bytes.clone());
        }
        prop_assert!(Announcer::new(keyring()).handle(&bytes, NOW).is_err());
    }
}

#[test]
fn a_node_that_is_taken_out_and_in_again_is_in_the_same_life() {
    let peer = |keyring: &mut Keyring| keyring.compile().unwrap().peer(PEER).map_or(0, |keys| keys.life());
    let (us, them) = ([(US, identity(US).public())], [(PEER, identity(PEER).public())]);
    let mut keyring = keyring();
    assert_eq!(peer(&mut keyring), 0);
    keyring.introduce(&key(1).sign(&identity(PEER)), NOW).unwrap();
    assert_eq!(peer(&mut keyring), 1);
    // Another identity in between, even.
    keyring.set_peers(us);
    keyring.set_peers([(PEER, identity(US).public())]);
    keyring.set_peers(them);
    let older = SignedKey { life: NOW.unix_ms - 1, ..key(1) }.sign(&identity(PEER));
    assert_eq!(keyring.introduce(&older, NOW), Err(Rejected::Replayed));
    keyring.introduce(&key(1).sign(&identity(PEER)), NOW).unwrap();
    assert_eq!(peer(&mut keyring), 1);
    let next = SignedKey { life: NOW.unix_ms + 1, ..key(2) }.sign(&identity(PEER));
    keyring.introduce(&next, NOW).unwrap();
    assert_eq!(peer(&mut keyring), 2);
}

/// Ten times what would be verified, in the name of every other peer: a legitimate exchange takes no longer for it.
#[test]
fn a_legitimate_exchange_succeeds_under_ten_times_the_capacity() {
    let names = (10..20).map(NodeId);
    let us = identity(US).public();
    let mut keyring = keyring();
    keyring.set_peers(names.clone().chain([US, PEER]).map(|node| (node, identity(node).public())));
    let mut announcer = Announcer::new(keyring);
    let mut verified = 0;
    for ms in 0..5000u64 {
        let now = Now { monotonic_ms: NOW.monotonic_ms + ms, unix_ms: NOW.unix_ms + ms };
        // 40 a second in the name of each: 4 are verified.
        for node in names.clone().filter(|_| ms % 25 == 0) {
            let forged = SignedKey { node, life: NOW.unix_ms + 1 + ms, ..key(1) };
            let message = Message::Announcement(forged).to_bytes(&us);
            let refused = announcer.handle(&message, now);
            verified += u32::from(refused == Err(Refused::Rejected(Rejected::BadSignature)));
        }
        if ms == 2500 {
            let message = Message::Announcement(key(1).sign(&identity(PEER))).to_bytes(&us);
            assert_eq!(announcer.handle(&message, now), Ok(Event::Key(PEER, Introduced::Life)));
        }
    }
    assert!((150..=10 * (8 + 5 * 4)).contains(&verified), "{verified}");
}
