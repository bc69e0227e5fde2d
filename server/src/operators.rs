//! Operators who are not at the server's own machine: each has a token, and a role that says what it opens.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use overlay::sync::token::hex;
use serde::{Deserialize, Serialize};

use crate::registry::{Error, Registry, plain_name};
use crate::unix_ms;

/// What a token begins with, so that it is known for one where it is found.
const PREFIX: &str = "proa-";

/// What an operator may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Look.
    Viewer,
    /// Look and change.
    Operator,
}

/// An operator, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorRecord {
    /// The name.
    pub name: String,
    /// The role.
    pub role: Role,
    /// When it was added, milliseconds since 1970.
    pub added_ms: u64,
}

/// Tokens are kept by their hash: who reads the store can not use them, and looking one up tells nothing by how long it takes.
fn key(token: &str) -> String {
    format!("operator/{}", hex(digest(&SHA256, token.as_bytes()).as_ref()))
}

impl Registry {
    /// Adds an operator; returns the token, which is shown this once. One of the same name has no other token any more.
    ///
    /// # Errors
    /// [`Error::NoName`], [`Error::Store`].
    pub fn add_operator(&self, name: &str, role: Role, who: &str) -> Result<String, Error> {
        plain_name(name)?;
        let mut secret = [0; 32];
        rand::fill(&mut secret).map_err(|_| Error::Contended)?;
        let token = format!("{PREFIX}{}", hex(&secret));
        self.retried(|transaction| {
            for (key, record) in self.records::<OperatorRecord>("operator/")? {
                if record.name == name {
                    transaction.delete.push(key);
                }
            }
            let record = OperatorRecord { name: name.to_owned(), role, added_ms: unix_ms() };
            transaction.put.push((key(&token), crate::registry::json(&record)));
            self.audit(transaction, who, &format!("token for {role:?} {name}").to_lowercase())
        })?;
        Ok(token)
    }

    /// Removes an operator: the token opens nothing any more.
    ///
    /// # Errors
    /// [`Error::NoOperator`], [`Error::Store`].
    pub fn remove_operator(&self, name: &str, who: &str) -> Result<(), Error> {
        self.retried(|transaction| {
            let records = self.records::<OperatorRecord>("operator/")?;
            let own = records.into_iter().filter(|(_, record)| record.name == name).map(|(key, _)| key);
            transaction.delete.extend(own);
            if transaction.delete.is_empty() {
                return Err(Error::NoOperator(name.chars().take(64).collect()));
            }
            self.audit(transaction, who, &format!("removed operator {name}"))
        })
    }

    /// All operators.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn operators(&self) -> Result<Vec<OperatorRecord>, Error> {
        let mut records: Vec<_> =
            self.records::<OperatorRecord>("operator/")?.into_iter().map(|(_, record)| record).collect();
        records.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(records)
    }

    /// Whose token this is.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn operator(&self, token: &str) -> Result<Option<OperatorRecord>, Error> {
        if !token.starts_with(PREFIX) {
            return Ok(None);
        }
        Ok(self.read::<OperatorRecord>(&key(token))?.0)
    }
}
