//! Reads the test vectors in `docs/vectors`.

use packet::Reason;
use proa_overlay::topology::{IpVersion, NodeId, PathId};
use proa_overlay::wire::trace::{Record, Trace};
use proa_overlay::wire::{Extensions, Header, Located, TracePlace};
use std::collections::BTreeMap;

/// The vectors that a receiver accepts.
pub const VALID: &str = include_str!("../../../docs/vectors/valid.txt");
/// The vectors that every node drops.
pub const INVALID: &str = include_str!("../../../docs/vectors/invalid.txt");

/// One block of a vector file.
pub struct Vector {
    /// Its name in brackets.
    pub name: &'static str,
    /// The UDP payload.
    pub bytes: Vec<u8>,
    fields: BTreeMap<&'static str, &'static str>,
}

impl Vector {
    /// What the key stands for.
    pub fn text(&self, key: &str) -> &'static str {
        self.fields.get(key).unwrap_or_else(|| panic!("[{}] lacks {key}", self.name))
    }

    fn number<T: TryFrom<u64>>(&self, key: &str) -> T {
        let number: u64 = self.text(key).parse().unwrap_or_else(|_| panic!("[{}] {key}", self.name));
        T::try_from(number).unwrap_or_else(|_| panic!("[{}] {key} is too large", self.name))
    }

    /// What a receiver reads from a valid vector.
    pub fn located(&self) -> Located {
        Located {
            header: Header {
                vni: self.number("vni"),
                inner: match self.text("inner") {
                    "ipv4" => IpVersion::V4,
                    "ipv6" => IpVersion::V6,
                    other => panic!("[{}] inner = {other}", self.name),
                },
                protocol: self.number("protocol"),
                copies: self.number("copies"),
                hop_limit: self.number("hop_limit"),
                source: NodeId(self.number("source")),
                destination: NodeId(self.number("destination")),
                authenticator: self.number("authenticator"),
                stream: self.number("stream"),
                path: PathId(self.number("path")),
                epoch: self.number("epoch"),
                path_sequence: self.number("path_sequence"),
                sequence: self.number("sequence"),
            },
            hop_limit_at: self.number("hop_limit_at"),
            inner_at: self.number("inner_at"),
            control: self.fields.get("control") == Some(&"yes"),
            extensions: Extensions {
                order_at: self.fields.get("order_at").map_or(0, |_| self.number("order_at")),
                source_route_at: self
                    .fields
                    .get("source_route_at")
                    .map_or(0, |_| self.number("source_route_at")),
                parity_at: self.fields.get("parity_at").map_or(0, |_| self.number("parity_at")),
            },
            trace: self
                .fields
                .get("trace_at")
                .map(|_| TracePlace { at: self.number("trace_at"), len: self.number("trace_len") }),
        }
    }

    /// What a receiver reads from a vector's trace option; `None` where that is malformed.
    pub fn trace(&self) -> Option<Trace> {
        if self.fields.get("trace") == Some(&"malformed") {
            return None;
        }
        let record = |number: usize| {
            let numbers = self.fields.get(format!("record_{number}").as_str())?;
            let numbers: Vec<u32> = numbers.split(' ').map(|word| word.parse().expect("a number")).collect();
            let [hop_limit, queue, node, ingress, egress, time_us, transit_ns] = numbers[..] else {
                panic!("[{}] record_{number}", self.name)
            };
            let node_of = |number: u32| NodeId(number as u16);
            Some(Record {
                hop_limit: hop_limit as u8,
                queue: queue as u8,
                node: node_of(node),
                ingress: node_of(ingress),
                egress: node_of(egress),
                time_us,
                transit_ns,
            })
        };
        Some(Trace {
            sent_ns: self.number("trace_sent"),
            overflow: self.fields.get("trace_overflow") == Some(&"yes"),
            records: (1..).map_while(record).collect(),
        })
    }

    /// Why an invalid vector is dropped.
    pub fn reason(&self) -> Reason {
        let name = self.text("reason");
        let found = Reason::ALL.iter().find(|reason| reason.name() == name);
        *found.unwrap_or_else(|| panic!("[{}] reason = {name}", self.name))
    }
}

/// The blocks of a vector file.
pub fn read(file: &'static str) -> Vec<Vector> {
    let mut vectors: Vec<Vector> = Vec::new();
    for line in file.lines() {
        let (line, _) = line.split_once('#').unwrap_or((line, ""));
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.trim_end().strip_suffix(']')) {
            vectors.push(Vector { name, bytes: Vec::new(), fields: BTreeMap::new() });
        } else if let Some(vector) = vectors.last_mut() {
            if line.starts_with(' ') {
                let digits: Vec<u8> = line.bytes().filter(|byte| *byte != b' ').collect();
                vector.bytes.extend(digits.chunks(2).map(|pair| {
                    let pair = std::str::from_utf8(pair).expect("ASCII");
                    u8::from_str_radix(pair, 16).unwrap_or_else(|_| panic!("[{}] {line}", vector.name))
                }));
            } else if let Some((key, value)) = line.split_once('=') {
                let former = vector.fields.insert(key.trim(), value.trim());
                assert!(former.is_none(), "[{}] has {key} twice", vector.name);
            }
        }
    }
    vectors
}
