//! What the server keeps for good: records by key, changed by transactions.
//!
//! The trait is what any backend can do that has conditions on its transactions; several servers on one store can only ever
//! step on each other's toes by a transaction that is refused.

mod embedded;

pub use embedded::Embedded;

/// Why the store does not answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is another process's.
    #[error("the store {0} is in use: the server runs already; ask it with proactl")]
    InUse(std::path::PathBuf),
    /// The file can not be used.
    #[error("the store fails: {0}")]
    Failed(String),
}

/// Changes that happen together or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// What must be there, or not be there, for any of it to happen.
    pub expect: Vec<(String, Option<Vec<u8>>)>,
    /// Records to write.
    pub put: Vec<(String, Vec<u8>)>,
    /// Records to remove.
    pub delete: Vec<String>,
}

/// Records by key.
pub trait Store: Send + Sync {
    /// One record.
    ///
    /// # Errors
    /// [`Error::Failed`].
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error>;

    /// The records whose keys begin so, by key.
    ///
    /// # Errors
    /// [`Error::Failed`].
    fn list(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, Error>;

    /// Does a transaction; whether what it expects holds. Once it says so, the changes outlive any crash.
    ///
    /// # Errors
    /// [`Error::Failed`]; it may have happened or not.
    fn commit(&self, transaction: &Transaction) -> Result<bool, Error>;
}
