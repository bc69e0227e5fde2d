//! The overlay's header: any bytes may come as UDP payload.

use overlay::wire::{
    HEADER_LEN, HOPS_MAX, Header, Located, ORDER_LEN, Order, PARITY_LEN, Parity, SourceRoute,
    decrement_hop_limit, locate,
};
use packet::Reason;

/// What is accepted lies inside the packet, survives a rewrite in the sender's layout, and loses exactly one hop.
pub fn run(data: &[u8]) {
    let Ok(found) = locate(data) else { return };
    assert!(found.inner_at <= data.len() && found.hop_limit_at < found.inner_at);
    assert_eq!(data[found.hop_limit_at], found.header.hop_limit);

    if found.extensions.is_empty() {
        let mut written = [0xa5; HEADER_LEN];
        found.header.write(&mut written);
        assert_eq!(Header::parse(&written), Ok((found.header, HEADER_LEN)));
    } else {
        source_route(data, &found);
    }
    if found.extensions.order_at != 0 {
        order(data, &found);
    }
    if found.extensions.parity_at != 0 {
        parity(data, &found);
    }

    let mut forwarded = data.to_vec();
    match decrement_hop_limit(&mut forwarded, found.hop_limit_at) {
        Ok(left) => {
            let header = Header { hop_limit: left, ..found.header };
            assert_eq!(left + 1, found.header.hop_limit);
            assert_eq!(Header::parse(&forwarded), Ok((header, found.inner_at)));
        }
        Err(reason) => assert_eq!((reason, found.header.hop_limit), (Reason::OverlayHopLimit, 0)),
    }

    // One byte less of header is refused; one byte less of inner packet changes nothing.
    assert_eq!(locate(&data[..found.inner_at]), Ok(found));
    assert_eq!(locate(&data[..found.inner_at - 1]), Err(Reason::OverlayTruncated));
}

/// A place in a flow lies before the inner packet, is what a sender writes for it, and never after the packet itself.
fn order(data: &[u8], found: &Located) {
    let at = usize::from(found.extensions.order_at);
    let order = Order::read(&data[..found.inner_at], at).expect("a located option is there");
    let written = order.option();
    assert_eq!(written[4..], data[at..at + ORDER_LEN - 4]);
    let sequence = found.header.sequence;
    assert!(order.before(sequence) < sequence || order.before(sequence) == 0);
}

/// Which packets a parity packet covers is written as it was read, but for what is reserved; and no packet is ordered as well.
fn parity(data: &[u8], found: &Located) {
    let at = usize::from(found.extensions.parity_at);
    let parity = Parity::read(&data[..found.inner_at], at).expect("a located option is there");
    let written = parity.option();
    assert_eq!((&written[4..6], &written[8..]), (&data[at..at + 2], &data[at + 4..at + PARITY_LEN - 4]));
    assert_eq!((found.header.protocol, found.extensions.order_at), (5, 0));
}

/// A source route that is believed has a hop before and, until all are passed, one after; passing one changes one byte.
fn source_route(data: &[u8], found: &Located) {
    let at = found.extensions.source_route_at;
    let ends = [found.header.source, found.header.destination];
    let Ok(route) = SourceRoute::read(data, at, ends) else { return };
    assert!((1..=HOPS_MAX).contains(&route.count()) && route.passed() <= route.count());
    assert!(route.before(found.header.source).is_some());
    assert!(route.passed() == route.count() || route.after(found.header.destination).is_some());
    let mut passed = data.to_vec();
    assert_eq!(SourceRoute::pass(&mut passed, at), Ok(()));
    assert_eq!(passed.iter().zip(data).filter(|(after, before)| after != before).count(), 1);
}
