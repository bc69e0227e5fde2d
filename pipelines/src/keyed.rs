//! Ways over links with keys: remembered like others, for what the tables and the compared bytes say of a packet. Its
//! authenticator says something of this packet alone, so it is checked each time, and made anew for the next link.

use crate::batch::PortIndex;
use crate::classify::{self, Place};
use crate::emit::Context;
use crate::forwarder::Lanes;
use crate::intermediate::{self, Copy, Express, Transit};
use crate::known::{FRAME_HEAD, GENEVE_AT, Passing};
use crate::seal;
use crate::terminate::Way;
use overlay::seal::SealTable;
use overlay::topology::NodeId;
use overlay::wire::{self, Located};
use packet::{BufPool, PacketBuf, Reason};

/// A way that has a key on at least one of its two links here.
#[derive(Clone, Copy, Debug)]
pub struct Keyed {
    /// Who sends what comes this way.
    pub sender: NodeId,
    /// Where it leads.
    pub to: Destination,
}

/// Where a way leads.
#[derive(Clone, Copy, Debug)]
pub enum Destination {
    /// On to the next node by a link of the same kind.
    Express(Express),
    /// On to the next node.
    Transit(Transit),
    /// Out of the overlay.
    Arrival(Way),
}

impl Keyed {
    /// Lets a packet pass whose way is this one, if its authenticator holds. `end` is where it ends, bytes from the frame's
    /// start: what else is known of it is read again, or the caller would put it in memory for every packet.
    #[inline(never)]
    pub fn pass<P: BufPool>(
        &self,
        port: PortIndex,
        buf: P::Buf,
        end: u16,
        lanes: &mut Lanes<P::Buf>,
        context: &mut Context<P>,
    ) {
        let found = match check(self.sender, buf.data(), end, context.keys) {
            Ok(found) => found,
            Err(reason) => return context.drop(buf, reason),
        };
        let passing = Passing::of(&found.header, end);
        match &self.to {
            Destination::Express(express) => express.forward_keyed(buf, passing, &found, context),
            Destination::Transit(_) if found.header.hop_limit == 0 => {
                context.drop(buf, Reason::OverlayHopLimit)
            }
            Destination::Transit(transit) => {
                let place = Place { geneve_at: GENEVE_AT as u16, end };
                intermediate::forward(buf, &Copy::of(place, &found), transit, context);
            }
            Destination::Arrival(way) => match way.may_send(passing.stream, context.tables) {
                Ok(()) => {
                    let arrival = way.arrival(FRAME_HEAD as u16, passing);
                    classify::keep(&mut lanes.arrivals, arrival, buf, port, context, |arrival, workers, _| {
                        arrival.owner(workers)
                    })
                }
                Err(reason) => context.drop(buf, reason),
            },
        }
    }
}

/// Reads the overlay's header of a frame in the sender's layout, and checks its authenticator.
#[inline(always)]
fn check(sender: NodeId, frame: &[u8], end: u16, keys: &SealTable) -> Result<Located, Reason> {
    let geneve = frame.get(GENEVE_AT..end as usize).ok_or(Reason::OverlayTruncated)?;
    let found = wire::locate_keyed(geneve)?;
    seal::check_hop(keys, sender, geneve, &found)?;
    Ok(found)
}
