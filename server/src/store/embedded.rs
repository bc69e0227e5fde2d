//! The store in one file of this machine: redb, which writes copies, then one pointer, and waits for the disk.

use std::path::Path;

use redb::{Database, DatabaseError, ReadableTable, TableDefinition};

use super::{Error, Store, Transaction};

const RECORDS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("records");

/// One file.
pub struct Embedded(Database);

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Failed(error.to_string())
}

impl Embedded {
    /// Opens the file, which is made where it is missing.
    ///
    /// # Errors
    /// [`Error`].
    pub fn open(path: &Path) -> Result<Embedded, Error> {
        let database = Database::create(path).map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => Error::InUse(path.to_owned()),
            error => failed(error),
        })?;
        // So that readers find the table.
        let begun = database.begin_write().map_err(failed)?;
        begun.open_table(RECORDS).map_err(failed)?;
        begun.commit().map_err(failed)?;
        Ok(Embedded(database))
    }
}

impl Store for Embedded {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        let table = self.0.begin_read().map_err(failed)?.open_table(RECORDS).map_err(failed)?;
        Ok(table.get(key).map_err(failed)?.map(|value| value.value().to_vec()))
    }

    fn list(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let table = self.0.begin_read().map_err(failed)?.open_table(RECORDS).map_err(failed)?;
        let mut found = Vec::new();
        for entry in table.range(prefix..).map_err(failed)? {
            let (key, value) = entry.map_err(failed)?;
            if !key.value().starts_with(prefix) {
                break;
            }
            found.push((key.value().to_owned(), value.value().to_vec()));
        }
        Ok(found)
    }

    fn commit(&self, transaction: &Transaction) -> Result<bool, Error> {
        let begun = self.0.begin_write().map_err(failed)?;
        {
            let mut table = begun.open_table(RECORDS).map_err(failed)?;
            for (key, expected) in &transaction.expect {
                let found = table.get(key.as_str()).map_err(failed)?.map(|value| value.value().to_vec());
                if found != *expected {
                    return Ok(false);
                }
            }
            for key in &transaction.delete {
                table.remove(key.as_str()).map_err(failed)?;
            }
            for (key, value) in &transaction.put {
                table.insert(key.as_str(), value.as_slice()).map_err(failed)?;
            }
        }
        begun.commit().map_err(failed)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &str, expect: Option<&str>, value: &str) -> Transaction {
        let bytes = |text: &str| text.as_bytes().to_vec();
        Transaction {
            expect: vec![(key.to_owned(), expect.map(bytes))],
            put: vec![(key.to_owned(), bytes(value))],
            delete: Vec::new(),
        }
    }

    #[test]
    fn a_transaction_happens_as_a_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.redb");
        let store = Embedded::open(&path).unwrap();
        assert!(store.commit(&put("a/1", None, "one")).unwrap());
        assert!(!store.commit(&put("a/1", None, "two")).unwrap());
        let mut both = put("a/2", None, "two");
        both.expect.push(("a/1".to_owned(), None));
        assert!(!store.commit(&both).unwrap());
        assert_eq!(store.get("a/2").unwrap(), None);
        assert!(store.commit(&put("b", None, "x")).unwrap());
        assert_eq!(store.list("a/").unwrap(), [("a/1".to_owned(), b"one".to_vec())]);
        assert!(matches!(Embedded::open(&path), Err(Error::InUse(_))));
        drop(store);
        let again = Embedded::open(&path).unwrap();
        assert_eq!(again.get("a/1").unwrap(), Some(b"one".to_vec()));
        assert!(
            again.commit(&Transaction { delete: vec!["a/1".to_owned()], ..Transaction::default() }).unwrap()
        );
        assert_eq!(again.get("a/1").unwrap(), None);
    }
}
