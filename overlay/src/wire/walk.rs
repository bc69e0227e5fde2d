//! Reads a header option by option: for every layout but the sender's own.

use super::{
    CONTROL, CONTROL_AT, CRITICAL, Extensions, GENEVE_LEN, HOP_LIMIT_IN_ROUTE, Located, OPTION_CLASS,
    OPTION_DATA_LEN, OPTION_HEADER_LEN, ORDER_DATA_LEN, PARITY_DATA_LEN, SourceRoute, TYPE_ORDER,
    TYPE_PARITY, TYPE_ROUTE, TYPE_SOURCE_ROUTE, TYPE_STREAM, TracePlace, VERSION, decode, trace::TYPE_TRACE,
};
use packet::Reason;

/// An option's type has this bit where a receiver must understand it (RFC 8926 section 3.5).
const TYPE_CRITICAL: u8 = 0x80;

/// The same as [`super::locate_keyed`].
#[cold]
#[inline(never)]
pub(super) fn locate(geneve: &[u8]) -> Result<Located, Reason> {
    let (head, rest) = geneve.split_first_chunk::<GENEVE_LEN>().ok_or(Reason::OverlayTruncated)?;
    if head[0] >> 6 != 0 {
        return Err(Reason::OverlayVersion);
    }
    let options_len = usize::from(head[0] & 0x3f) * 4;
    let options = rest.get(..options_len).ok_or(Reason::OverlayTruncated)?;
    if head[CONTROL_AT] & CRITICAL == 0 {
        return Err(Reason::OverlayOption);
    }
    let found = Found::walk(options);
    // Whatever else a later version changes, its route option starts with the version: name that first.
    if let Some(version) = found.version
        && version != VERSION
    {
        return Err(Reason::OverlayVersion);
    }
    let (Some((route_at, route)), Some(stream), false) = (found.route, found.stream, found.faulty) else {
        return Err(Reason::OverlayOption);
    };
    let header = decode(head, route, stream)?;
    found.extensions.check(header.protocol)?;
    Ok(Located {
        header,
        hop_limit_at: GENEVE_LEN + route_at + HOP_LIMIT_IN_ROUTE,
        inner_at: GENEVE_LEN + options_len,
        control: head[CONTROL_AT] & CONTROL != 0,
        extensions: found.extensions,
        trace: found.trace,
    })
}

/// What the options hold.
#[derive(Default)]
struct Found<'a> {
    /// Version by the first route option, whatever its length.
    version: Option<u8>,
    /// The route option's data, and where it stands, bytes from the start of the options.
    route: Option<(usize, &'a [u8; OPTION_DATA_LEN])>,
    /// The stream option's data.
    stream: Option<&'a [u8; OPTION_DATA_LEN]>,
    /// The options that only some protocols have.
    extensions: Extensions,
    /// The first trace option's data.
    trace: Option<TracePlace>,
    /// An option is unknown and critical, twice there, of a wrong length, or runs beyond the end.
    faulty: bool,
}

impl<'a> Found<'a> {
    /// Goes through all options. Each takes at least 4 of at most 252 bytes, so this ends after 63.
    fn walk(options: &'a [u8]) -> Found<'a> {
        let mut found = Found::default();
        let mut rest = options;
        while let Some((&[class_high, class_low, kind, length], behind)) =
            rest.split_first_chunk::<OPTION_HEADER_LEN>()
        {
            // The three bits above the length are reserved: ignored (RFC 8926 section 3.5).
            let data_at = options.len() - behind.len();
            let Some((data, next)) = behind.split_at_checked(usize::from(length & 0x1f) * 4) else {
                found.faulty = true;
                break;
            };
            rest = next;
            let ours = u16::from_be_bytes([class_high, class_low]) == OPTION_CLASS;
            match kind {
                TYPE_ROUTE if ours => {
                    found.version = found.version.or(data.first().map(|byte| byte >> 4));
                    let data = data.try_into().ok().map(|data| (data_at, data));
                    found.faulty |= data.is_none() || found.route.is_some();
                    found.route = data;
                }
                TYPE_STREAM if ours => {
                    let data = data.try_into().ok();
                    found.faulty |= data.is_none() || found.stream.is_some();
                    found.stream = data;
                }
                TYPE_ORDER if ours => {
                    let twice = found.extensions.order_at != 0;
                    found.faulty |= twice || data.len() != ORDER_DATA_LEN;
                    found.extensions.order_at = (GENEVE_LEN + data_at) as u16;
                }
                TYPE_SOURCE_ROUTE if ours => {
                    let twice = found.extensions.source_route_at != 0;
                    found.faulty |= twice || !SourceRoute::is_sized(data);
                    found.extensions.source_route_at = (GENEVE_LEN + data_at) as u16;
                }
                TYPE_PARITY if ours => {
                    let twice = found.extensions.parity_at != 0;
                    found.faulty |= twice || data.len() != PARITY_DATA_LEN;
                    found.extensions.parity_at = (GENEVE_LEN + data_at) as u16;
                }
                TYPE_TRACE if ours => {
                    let place = TracePlace { at: (GENEVE_LEN + data_at) as u16, len: data.len() as u16 };
                    found.trace = found.trace.or(Some(place));
                }
                _ => found.faulty |= kind & TYPE_CRITICAL != 0,
            }
        }
        found
    }
}
