//! What a log is told of sessions.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

mod common;

use common::*;
use packet::transport::{TCP, UDP};
use packet::{IpVersion, Reason};
use proa_nat::*;

fn open(nat: &mut Nat, now: u32, client: u16, port: u16) -> Result<SessionIndex, Reason> {
    let flow = Flow::new(IpVersion::V4, if port.is_multiple_of(2) { TCP } else { UDP }, client, port);
    let key = flow.key();
    nat.create(Seconds(now), nat.hash(&key), key, flow.new_session())
}

fn drain(nat: &mut Nat) -> (Vec<Event>, u64) {
    let mut events = Vec::new();
    let lost = nat.drain_events(|event| events.push(event));
    (events, lost)
}

#[test]
fn every_session_is_told_when_it_is_made_and_when_it_ends() {
    let mut nat = nat();
    open(&mut nat, 0, 1, 9).unwrap();
    assert!(!nat.has_events() && drain(&mut nat).0.is_empty(), "nobody wants to know");
    nat.record_events();
    let sessions: Vec<_> = (10..20).map(|port| open(&mut nat, 1, 1, port).unwrap()).collect();
    // The same again makes none.
    open(&mut nat, 1, 1, 10).unwrap();
    let views: Vec<_> = sessions.iter().map(|session| nat.session(*session).unwrap()).collect();
    let (events, lost) = drain(&mut nat);
    let expected: Vec<_> = views.iter().map(|view| Event::Created(Seconds(1), *view)).collect();
    assert_eq!((events, lost), (expected, 0));
    let later = Seconds(100_000);
    while nat.sweep(later, 100) > 0 {}
    let (events, _) = drain(&mut nat);
    assert!(nat.is_empty() && events.len() == 11);
    for view in views {
        let ended = events.iter().filter(|event| {
            matches!(event, Event::Deleted(at, gone) if *at == later && (gone.key, gone.external_port) == (view.key, view.external_port))
        });
        assert_eq!(ended.count(), 1);
    }
}

#[test]
fn refusals_are_told_once_a_second_with_how_many_there_were() {
    let limits = ClientLimits { sessions: [3, 3, 3], ..ClientLimits::default() };
    let rules = Rules { client: limits, ..Rules::default() };
    let mut nat = Nat::new(&Config { rules, ..config() }).unwrap();
    nat.record_events();
    let mut refused = 0;
    for second in [5, 6] {
        for port in (10..40).step_by(2) {
            refused += u32::from(open(&mut nat, second, 1, port) == Err(Reason::NatClientLimit));
        }
    }
    let told: Vec<Refusal> = drain(&mut nat)
        .0
        .into_iter()
        .filter_map(|event| if let Event::Refused(refusal) = event { Some(refusal) } else { None })
        .collect();
    assert_eq!(told.len(), 2);
    assert_eq!(told.iter().map(|refusal| refusal.at.0).collect::<Vec<_>>(), [5, 6]);
    assert!(told.iter().all(|refusal| refusal.reason == Reason::NatClientLimit && refusal.protocol == TCP));
    // Those of the last second are told with the next.
    assert!(refused > 20 && told[1].further == 11, "{refused} {told:?}");
}

#[test]
fn what_nobody_takes_is_lost_and_counted() {
    let mut nat = nat();
    nat.record_events();
    for client in 0..200 {
        for port in 0..10 {
            let _ = open(&mut nat, 0, client, 1000 + port);
        }
    }
    while nat.sweep(Seconds(100_000), 100) > 0 {}
    let (events, lost) = drain(&mut nat);
    assert!(events.len() == 1024 && lost > 0, "{} {lost}", events.len());
    assert_eq!(drain(&mut nat), (Vec::new(), 0));
}
