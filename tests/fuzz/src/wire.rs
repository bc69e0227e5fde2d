//! The overlay's header: any bytes may come as UDP payload.

use overlay::wire::{HEADER_LEN, Header, decrement_hop_limit, locate};
use packet::Reason;

/// What is accepted lies inside the packet, survives a rewrite in the sender's layout, and loses exactly one hop.
pub fn run(data: &[u8]) {
    let Ok(found) = locate(data) else { return };
    assert!(found.inner_at <= data.len() && found.hop_limit_at < found.inner_at);
    assert_eq!(data[found.hop_limit_at], found.header.hop_limit);

    let mut written = [0xa5; HEADER_LEN];
    found.header.write(&mut written);
    assert_eq!(Header::parse(&written), Ok((found.header, HEADER_LEN)));

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
