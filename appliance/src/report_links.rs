//! What operators are told of all nodes' links.

use ctl::{Flood, Links, Rejection, ToldLink};
use overlay::linkstate::{Key, Kind};
use overlay::topology::IpVersion;
use packet::BufPool;

use crate::core::Core;
use crate::metrics::{Metric, Value, Values, counter, gauge};

impl<P: BufPool> Core<P> {
    /// Answers "link show".
    pub fn all_links(&self) -> Links {
        let (flood, now) = (self.link_state.flood(), self.link_state.now(self.now_ns));
        let told = flood.links().map(|(origin, link)| ToldLink {
            node: self.node_name(origin),
            neighbor: self.node_name(link.neighbor),
            version: if link.version == IpVersion::V4 { 4 } else { 6 },
            up: link.up,
            latency_us: link.quality.map(|quality| quality.latency_us),
            loss_percent: link.quality.map(|quality| f64::from(quality.loss_ppm) / 10_000.0),
            age_ms: flood.age_ms(Key { origin, kind: Kind::Links, index: 0 }, now).unwrap_or(0),
        });
        Links { links: self.links(), overlay: told.collect(), flood: self.flood() }
    }

    fn flood(&self) -> Flood {
        let flood = self.link_state.flood();
        let counters = flood.counters();
        let rejection = |(why, messages): (&overlay::linkstate::Refused, &u64)| Rejection {
            reason: why.name().to_owned(),
            messages: *messages,
        };
        Flood {
            records: flood.records().count() as u64,
            originated: counters.originated,
            taken: counters.taken,
            known: counters.known,
            aged: counters.aged,
            sent: counters.sent,
            sent_bytes: counters.sent_bytes,
            rejected: flood.refused().iter().map(rejection).collect(),
        }
    }
}

pub(crate) fn metrics<P: BufPool>(core: &Core<P>, metrics: &mut Vec<Metric>) {
    let flood = core.flood();
    let one = |value: u64| -> Values { vec![(Vec::new(), Value::Count(value))] };
    let name = "link_state_records";
    gauge(metrics, name, "Records of link state held, this node's included", one(flood.records));
    let name = "link_state_originated";
    counter(metrics, name, "Records of link state that this node wrote", one(flood.originated));
    let name = "link_state_taken";
    counter(metrics, name, "Records of link state of other nodes taken", one(flood.taken));
    let name = "link_state_known";
    counter(metrics, name, "Records of link state that came once more", one(flood.known));
    let name = "link_state_aged";
    counter(metrics, name, "Records of link state forgotten because nobody renewed them", one(flood.aged));
    counter(metrics, "link_state_sent", "Messages about link state sent", one(flood.sent));
    let name = "link_state_sent_bytes";
    counter(metrics, name, "Bytes of messages about link state sent", one(flood.sent_bytes));
    let rejected = flood.rejected.iter();
    let rejected =
        rejected.map(|one| (vec![("reason", one.reason.clone())], Value::Count(one.messages))).collect();
    counter(metrics, "link_state_rejected", "Messages about link state not taken, by reason", rejected);
}
