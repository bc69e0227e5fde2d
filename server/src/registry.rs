//! What the server knows for good: the overlay's definition and its revision, nodes, their certificates and keys, tokens, and
//! who changed what.
//!
//! Every change is one transaction that expects what it was made from, so that two at once are two in a row. The revision
//! grows with each change that any node's part could show.

use std::collections::BTreeMap;
use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use conf::{Members, Overlay};
use overlay::keys::PublicIdentity;
use overlay::sync::token::{Token, hex};
use overlay::sync::{Join, Snapshot, TO_NODE_BYTES_MAX};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use toml::Table;

use crate::authority::{self, Authority};
use crate::diff::diff;
use crate::part::part;
use crate::store::{self, Store, Transaction};
use crate::unix_ms;

/// Largest part of a node, bytes: what a message holds, less what stands around the part.
pub(crate) const PART_BYTES_MAX: usize = TO_NODE_BYTES_MAX - 1024;
/// How long a token waits to be used, milliseconds: a day.
const TOKEN_MS: u64 = 24 * 3600 * 1000;
/// Longest name of a node, bytes.
const NAME_BYTES_MAX: usize = 64;
/// How often a change is made anew when another came between.
const TRIES: usize = 32;

/// Why something is not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store fails.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The definition is wrong; all of it is told.
    #[error("{0}")]
    Invalid(conf::Errors),
    /// It was made for another revision.
    #[error(
        "the overlay has changed meanwhile: it is of revision {now}, not {base}; look at the difference again"
    )]
    Moved {
        /// What the change was made for.
        base: u64,
        /// What is there.
        now: u64,
    },
    /// No such node.
    #[error("there is no node `{0}` here; `proactl node show` lists them")]
    NoNode(String),
    /// No such operator.
    #[error("there is no operator `{0}` here; `proactl operator show` lists them")]
    NoOperator(String),
    /// What is no name.
    #[error("`{0}` is not a name: use 1 to 64 of A-Z a-z 0-9 - _ . and begin with a letter or digit")]
    NoName(String),
    /// A token that opens nothing.
    #[error("this token is unknown, used, or its time is over; make a new one with `proactl node add`")]
    Token,
    /// A key without proof.
    #[error("the node's key did not sign this request")]
    Key,
    /// Another node's key.
    #[error("the key of this node is that of `{0}`: make one with `proa key generate` for each")]
    SharedKey(String),
    /// No certificate.
    #[error(transparent)]
    Authority(#[from] authority::Error),
    /// The store holds what this program did not write.
    #[error("the record {0} in the store is damaged; restore the store from a backup")]
    Damaged(String),
    /// More than a node takes at once.
    #[error(
        "the part of node `{node}` would be of {bytes} bytes, and a node takes {PART_BYTES_MAX}: split the overlay, or shorten \
         names and lists"
    )]
    TooLarge {
        /// Whose part.
        node: String,
        /// Its bytes.
        bytes: usize,
    },
    /// Others change the same all the time.
    #[error("others change this at the same time; try again")]
    Contended,
}

/// The overlay as the operator defined it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// Grows with every change.
    pub revision: u64,
    /// A topology file's text; empty before the first.
    pub text: String,
}

/// From when until when a certificate is good, milliseconds since 1970.
pub type Times = (u64, u64);

/// A node that may join or has joined.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// When it was added, milliseconds since 1970.
    pub added_ms: u64,
    /// When it joined last.
    pub joined_ms: Option<u64>,
    /// SHA-256 of its certificate, hexadecimal digits.
    pub certificate: Option<String>,
    /// Its public key, as topology files write it.
    pub public_key: Option<String>,
    /// When that certificate was given, and when its time is over.
    #[serde(default)]
    pub certified_ms: Option<Times>,
    /// The certificate that takes its place once it is first used, its hash, and the same two times.
    #[serde(default)]
    pub next: Option<(String, Times)>,
    /// When the node was revoked, if it has not joined since.
    #[serde(default)]
    pub revoked_ms: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct TokenRecord {
    node: String,
    expires_ms: u64,
}

/// Who changed what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// When, milliseconds since 1970.
    pub at_ms: u64,
    /// Who.
    pub who: String,
    /// What, a sentence.
    pub what: String,
}

/// What a definition would change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The revision that it is compared with.
    pub base: u64,
    /// The revision that is in force now.
    pub revision: u64,
    /// What comes, goes and differs.
    pub changes: Vec<String>,
    /// The path sets as they are planned or written.
    pub path_sets: Vec<PlannedSet>,
    /// What is odd about it.
    pub warnings: Vec<String>,
}

/// A path set with its paths.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedSet {
    /// Its name.
    pub name: String,
    /// Its paths by number, each with the regions between its ends.
    pub paths: Vec<(u16, Vec<String>)>,
}

const DEFINITION: &str = "overlay";
const AUDITED: &str = "audited";

/// The registry, over any store.
pub struct Registry {
    store: Box<dyn Store>,
    authority: Authority,
    certificate_s: u64,
}

impl Registry {
    /// Over a store, with the authority of a directory.
    ///
    /// # Errors
    /// [`Error::Authority`].
    pub fn new(store: Box<dyn Store>, directory: &Path) -> Result<Registry, Error> {
        let certificate_s = conf::server::CERTIFICATE_S;
        Ok(Registry { store, authority: Authority::load(directory)?, certificate_s })
    }

    /// The same with certificates of nodes that last so many seconds.
    pub fn certifying_for(self, certificate_s: u64) -> Registry {
        Registry { certificate_s, ..self }
    }

    /// The authority.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The definition in force.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn definition(&self) -> Result<Definition, Error> {
        Ok(self.read(DEFINITION)?.0.unwrap_or_default())
    }

    /// All nodes by name.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn nodes(&self) -> Result<BTreeMap<String, NodeRecord>, Error> {
        let records = self.store.list("node/")?;
        let node = |(key, value): (String, Vec<u8>)| {
            let name = key.trim_start_matches("node/").to_owned();
            Ok((name, serde_json::from_slice(&value).map_err(|_| Error::Damaged(key))?))
        };
        records.into_iter().map(node).collect()
    }

    /// The node whose certificate has this fingerprint, as long as it is the one in use.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn node_of(&self, fingerprint: &[u8; 32]) -> Result<Option<String>, Error> {
        let fingerprint = hex(fingerprint);
        let name = self.store.get(&format!("certificate/{fingerprint}"))?;
        Ok(name.and_then(|name| String::from_utf8(name).ok()))
    }

    /// A connection was made with a node's certificate: if that is the one that was to take the old one's place, it has now.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn used(&self, node: &str, fingerprint: &[u8; 32]) -> Result<(), Error> {
        let fingerprint = hex(fingerprint);
        self.retried(|transaction| {
            let key = format!("node/{node}");
            let (record, raw) = self.read::<NodeRecord>(&key)?;
            let Some(mut record) = record else { return Ok(()) };
            let Some((next, times)) = record.next.take().filter(|(next, _)| *next == fingerprint) else {
                return Ok(());
            };
            if let Some(old) = record.certificate.replace(next) {
                transaction.delete.push(format!("certificate/{old}"));
            }
            record.certified_ms = Some(times);
            transaction.expect.push((key.clone(), raw));
            transaction.put.push((key, json(&record)));
            self.audit(transaction, node, "uses its new certificate")
        })
    }

    /// In how many milliseconds a node's certificate has used up two thirds of its time, and how long that is; `None` for a
    /// node that has none.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn renewal_due(&self, node: &str) -> Result<Option<(u64, u64)>, Error> {
        let record = self.read::<NodeRecord>(&format!("node/{node}"))?.0;
        // Those that were given before times were kept are due.
        let times =
            record.filter(|one| one.certificate.is_some()).map(|one| one.certified_ms.unwrap_or((0, 0)));
        Ok(times.map(|(from_ms, until_ms)| {
            let lasts_ms = until_ms.saturating_sub(from_ms);
            ((from_ms + lasts_ms / 3 * 2).saturating_sub(unix_ms()), lasts_ms)
        }))
    }

    /// Gives a node another certificate, for another key. Both are good until this one is first used.
    ///
    /// # Errors
    /// [`Error`].
    pub fn renew(&self, node: &str, request: &[u8]) -> Result<Vec<u8>, Error> {
        self.retried(|transaction| {
            let key = format!("node/{node}");
            let (record, raw) = self.read::<NodeRecord>(&key)?;
            let mut record = record
                .filter(|one| one.certificate.is_some())
                .ok_or_else(|| Error::NoNode(node.to_owned()))?;
            let (certificate, fingerprint, times) = self.certificate(node, request)?;
            if let Some((unused, _)) = record.next.replace((fingerprint.clone(), times)) {
                transaction.delete.push(format!("certificate/{unused}"));
            }
            transaction.expect.push((key.clone(), raw));
            transaction.put.push((key, json(&record)));
            transaction.put.push((format!("certificate/{fingerprint}"), node.as_bytes().to_vec()));
            self.audit(transaction, node, "has a new certificate")?;
            Ok(certificate)
        })
    }

    /// Ends a node's membership: its certificates, tokens and key count no more, and the others' parts say so.
    ///
    /// # Errors
    /// [`Error::NoNode`], [`Error::Store`].
    pub fn revoke(&self, node: &str, who: &str) -> Result<(), Error> {
        self.retried(|transaction| {
            let key = format!("node/{node}");
            let (record, raw) = self.read::<NodeRecord>(&key)?;
            let record = record.ok_or_else(|| Error::NoNode(node.to_owned()))?;
            let next = record.next.as_ref().map(|(next, _)| next);
            for fingerprint in record.certificate.iter().chain(next) {
                transaction.delete.push(format!("certificate/{fingerprint}"));
            }
            for (token, value) in self.store.list("token/")? {
                let opens =
                    serde_json::from_slice::<TokenRecord>(&value).is_ok_and(|token| token.node == node);
                if opens {
                    transaction.delete.push(token);
                }
            }
            let revoked = NodeRecord {
                added_ms: record.added_ms,
                revoked_ms: Some(unix_ms()),
                ..NodeRecord::default()
            };
            transaction.expect.push((key.clone(), raw));
            transaction.put.push((key, json(&revoked)));
            self.raise_revision(transaction)?;
            self.audit(transaction, who, &format!("revoked node {node}"))
        })
    }

    /// Parts show something else from now on, though the definition is the same.
    fn raise_revision(&self, transaction: &mut Transaction) -> Result<(), Error> {
        let (definition, raw) = self.read::<Definition>(DEFINITION)?;
        if let Some(mut definition) = definition {
            definition.revision += 1;
            transaction.expect.push((DEFINITION.to_owned(), raw));
            transaction.put.push((DEFINITION.to_owned(), json(&definition)));
        }
        Ok(())
    }

    /// A certificate of a node from now on, its hash, and from when until when it is good.
    fn certificate(&self, node: &str, request: &[u8]) -> Result<(Vec<u8>, String, Times), Error> {
        let seconds = i64::try_from(self.certificate_s).unwrap_or(i64::MAX);
        let certificate = self.authority.certify(node, request, seconds)?;
        let fingerprint = hex(&authority::fingerprint(&certificate));
        let now_ms = unix_ms();
        Ok((certificate.to_vec(), fingerprint, (now_ms, now_ms.saturating_add(self.certificate_s * 1000))))
    }

    /// A node's part of the overlay as it is now; `None` where the overlay does not have it.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn snapshot(&self, node: &str) -> Result<Option<Snapshot>, Error> {
        for _ in 0..TRIES {
            let definition = self.definition()?;
            let members = self.members()?;
            // A key that came between would be in this snapshot, but only the next revision has it.
            if self.definition()?.revision == definition.revision {
                let table = definition.text.parse::<Table>();
                let table = table.map_err(|_| Error::Damaged(DEFINITION.to_owned()))?;
                return Ok(part(&table, node, &members).map(|text| Snapshot::new(definition.revision, text)));
            }
        }
        Err(Error::Contended)
    }

    /// What a definition would change, checked as a whole. Nothing is changed.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::Store`].
    pub fn plan(&self, text: &str) -> Result<Change, Error> {
        self.change(&self.definition()?, text)
    }

    /// Puts a definition in force, if the one in force is still that of revision `base`.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::Moved`], [`Error::Store`].
    pub fn apply(&self, text: &str, base: u64, who: &str) -> Result<Change, Error> {
        self.retried(|transaction| {
            let (now, raw) = self.read::<Definition>(DEFINITION)?;
            let now = now.unwrap_or_default();
            if now.revision != base {
                return Err(Error::Moved { base, now: now.revision });
            }
            let mut change = self.change(&now, text)?;
            if change.changes.is_empty() && !now.text.is_empty() {
                return Ok(change);
            }
            change.revision = base + 1;
            let next = Definition { revision: change.revision, text: text.to_owned() };
            transaction.expect.push((DEFINITION.to_owned(), raw));
            transaction.put.push((DEFINITION.to_owned(), json(&next)));
            let what = format!("overlay revision {}: {}", next.revision, change.changes.join("; "));
            self.audit(transaction, who, &what)?;
            Ok(change)
        })
    }

    /// Lets a node join, once, with the token that is returned.
    ///
    /// # Errors
    /// [`Error::NoName`], [`Error::Store`].
    pub fn add_node(&self, name: &str, who: &str) -> Result<Token, Error> {
        plain_name(name)?;
        let mut secret = [0; 32];
        rand::fill(&mut secret).map_err(|_| Error::Contended)?;
        self.retried(|transaction| {
            let key = format!("node/{name}");
            if self.read::<NodeRecord>(&key)?.1.is_none() {
                let record = NodeRecord { added_ms: unix_ms(), ..NodeRecord::default() };
                transaction.expect.push((key.clone(), None));
                transaction.put.push((key, json(&record)));
            }
            let token = TokenRecord { node: name.to_owned(), expires_ms: unix_ms() + TOKEN_MS };
            transaction.put.push((token_key(&secret), json(&token)));
            self.audit(transaction, who, &format!("token for node {name}"))
        })?;
        Ok(Token { node: name.to_owned(), secret, authority: self.authority.fingerprint() })
    }

    /// Admits a node: its token is used up, its certificate the only one of its name that counts from now on. Says whether
    /// a key was introduced that the others' parts have to show.
    ///
    /// # Errors
    /// [`Error`].
    pub fn join(&self, join: &Join) -> Result<(Vec<u8>, bool), Error> {
        let identity = match &join.identity {
            Some((public, signature)) => {
                let public = PublicIdentity(*public);
                let signature: &[u8; 64] = signature.0.as_slice().try_into().map_err(|_| Error::Key)?;
                if !public.verify(&Join::signed(&join.node, &join.request), signature) {
                    return Err(Error::Key);
                }
                Some(public.to_string())
            }
            None => None,
        };
        self.retried(|transaction| {
            let (token, raw_token) = self.read::<TokenRecord>(&token_key(&join.secret))?;
            let token = token.ok_or(Error::Token)?;
            if token.node != join.node || token.expires_ms < unix_ms() {
                return Err(Error::Token);
            }
            let others = self.nodes()?;
            let mut same = others.iter().filter(|(name, _)| **name != join.node);
            if let Some((other, _)) = same.find(|(_, one)| identity.is_some() && one.public_key == identity) {
                return Err(Error::SharedKey(other.clone()));
            }
            let (certificate, fingerprint, times) = self.certificate(&join.node, &join.request)?;
            let node_key = format!("node/{}", join.node);
            let (before, raw_node) = self.read::<NodeRecord>(&node_key)?;
            let before = before.ok_or(Error::Token)?;
            let introduced = before.public_key != identity || before.revoked_ms.is_some();
            let next = before.next.as_ref().map(|(next, _)| next);
            for old in before.certificate.iter().chain(next) {
                transaction.delete.push(format!("certificate/{old}"));
            }
            let record = NodeRecord {
                joined_ms: Some(unix_ms()),
                certificate: Some(fingerprint.clone()),
                public_key: identity.clone(),
                certified_ms: Some(times),
                added_ms: before.added_ms,
                next: None,
                revoked_ms: None,
            };
            transaction.expect.extend([(token_key(&join.secret), raw_token), (node_key.clone(), raw_node)]);
            transaction.delete.push(token_key(&join.secret));
            transaction.put.push((node_key, json(&record)));
            transaction.put.push((format!("certificate/{fingerprint}"), join.node.clone().into_bytes()));
            if introduced {
                self.raise_revision(transaction)?;
            }
            self.audit(transaction, &join.node, "joined")?;
            Ok((certificate, introduced))
        })
    }

    /// The definition, checked, with its revision; `None` where there is none, or none but of the revision that is known.
    ///
    /// # Errors
    /// [`Error::Store`], [`Error::Damaged`], and [`Error::Invalid`] where a newer program asks more of it.
    pub fn overlay(&self, known: Option<u64>) -> Result<Option<(u64, Overlay)>, Error> {
        let now = self.definition()?;
        if now.text.is_empty() || known == Some(now.revision) {
            return Ok(None);
        }
        let checked = Overlay::check("overlay.toml", &now.text, &self.members()?).map_err(Error::Invalid)?;
        Ok(Some((now.revision, checked)))
    }

    /// Who changed what, the newest `count`, oldest first.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn audits(&self, count: usize) -> Result<Vec<Audit>, Error> {
        let records = self.store.list("audit/")?;
        let newest = records.len().saturating_sub(count);
        let audit =
            |(key, value): (String, Vec<u8>)| serde_json::from_slice(&value).map_err(|_| Error::Damaged(key));
        records.into_iter().skip(newest).map(audit).collect()
    }

    fn change(&self, now: &Definition, text: &str) -> Result<Change, Error> {
        let members = self.members()?;
        let checked = Overlay::check("overlay.toml", text, &members).map_err(Error::Invalid)?;
        let table = |text: &str| text.parse::<Table>().map_err(|_| Error::Damaged(DEFINITION.to_owned()));
        let region =
            |index| checked.topology.region(index).map(|region| region.name.clone()).unwrap_or_default();
        let sets = checked.topology.path_sets.iter().map(|set| PlannedSet {
            name: set.name.clone(),
            paths: set
                .paths
                .iter()
                .map(|path| (path.id.0, path.via.iter().copied().map(region).collect()))
                .collect(),
        });
        let next = table(text)?;
        // Written as parts are, with every key, a small text does not become that much larger.
        let may_be_large = text.len() > PART_BYTES_MAX / 8;
        for node in checked.topology.nodes.iter().filter(|_| may_be_large) {
            let bytes = part(&next, &node.name, &members).map_or(0, |part| part.len());
            if bytes > PART_BYTES_MAX {
                return Err(Error::TooLarge { node: node.name.clone(), bytes });
            }
        }
        Ok(Change {
            base: now.revision,
            revision: now.revision,
            changes: diff(&table(&now.text)?, &next),
            path_sets: sets.collect(),
            warnings: checked.warnings.iter().map(ToString::to_string).collect(),
        })
    }

    /// All records below a prefix, with their keys.
    pub(crate) fn records<T: DeserializeOwned>(&self, prefix: &str) -> Result<Vec<(String, T)>, Error> {
        let parse = |(key, value): (String, Vec<u8>)| match serde_json::from_slice(&value) {
            Ok(record) => Ok((key, record)),
            Err(_) => Err(Error::Damaged(key)),
        };
        self.store.list(prefix)?.into_iter().map(parse).collect()
    }

    /// The keys of nodes that have joined, and the nodes that count no more.
    fn members(&self) -> Result<Members, Error> {
        let mut members = Members::default();
        for (name, node) in self.nodes()? {
            if node.revoked_ms.is_some() {
                members.revoked.insert(name);
            } else if let Some(key) = node.public_key.and_then(|key| key.parse().ok()) {
                members.keys.insert(name, key);
            }
        }
        Ok(members)
    }

    pub(crate) fn audit(&self, transaction: &mut Transaction, who: &str, what: &str) -> Result<(), Error> {
        let (count, raw) = self.read::<u64>(AUDITED)?;
        let count = count.unwrap_or(0);
        let audit = Audit { at_ms: unix_ms(), who: who.to_owned(), what: what.to_owned() };
        transaction.expect.push((AUDITED.to_owned(), raw));
        transaction.put.push((AUDITED.to_owned(), json(&(count + 1))));
        transaction.put.push((format!("audit/{count:020}"), json(&audit)));
        Ok(())
    }

    /// Makes a change anew until nothing came between.
    pub(crate) fn retried<T>(&self, make: impl Fn(&mut Transaction) -> Result<T, Error>) -> Result<T, Error> {
        for _ in 0..TRIES {
            let mut transaction = Transaction::default();
            let made = make(&mut transaction)?;
            if self.store.commit(&transaction)? {
                return Ok(made);
            }
        }
        Err(Error::Contended)
    }

    pub(crate) fn read<T: DeserializeOwned>(&self, key: &str) -> Result<(Option<T>, Option<Vec<u8>>), Error> {
        let raw = self.store.get(key)?;
        let value = match &raw {
            Some(raw) => Some(serde_json::from_slice(raw).map_err(|_| Error::Damaged(key.to_owned()))?),
            None => None,
        };
        Ok((value, raw))
    }
}

/// Tokens are kept by their hash: who reads the store can not join.
fn token_key(secret: &[u8; 32]) -> String {
    format!("token/{}", hex(digest(&SHA256, secret).as_ref()))
}

/// Whether a name is one that stands in commands, files and logs as it is.
pub(crate) fn plain_name(name: &str) -> Result<(), Error> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let begins = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    match begins && name.chars().all(plain) && name.len() <= NAME_BYTES_MAX {
        true => Ok(()),
        false => Err(Error::NoName(name.chars().take(NAME_BYTES_MAX).collect())),
    }
}

pub(crate) fn json<T: Serialize>(value: &T) -> Vec<u8> {
    // The types have string keys only and no value that JSON lacks.
    serde_json::to_vec(value).unwrap_or_default()
}
