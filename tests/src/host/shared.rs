//! Shared data: one map for all workers, with the gateway's rules for `cas`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The map; clones share it.
#[derive(Clone, Debug, Default)]
pub struct SharedData(Arc<Mutex<Entries>>);

#[derive(Debug, Default)]
struct Entries {
    last_cas: u32,
    values: BTreeMap<Vec<u8>, (Vec<u8>, u32)>,
}

impl SharedData {
    /// Value and its cas.
    #[must_use]
    pub fn read(&self, key: &[u8]) -> Option<(Vec<u8>, u32)> {
        self.entries().values.get(key).cloned()
    }

    /// Writes; `false` when `cas` is not zero and not the stored one. A missing key takes any cas.
    #[must_use]
    pub fn write(&self, key: &[u8], value: &[u8], cas: u32) -> bool {
        let mut entries = self.entries();
        if let Some((_, stored)) = entries.values.get(key)
            && cas != 0
            && cas != *stored
        {
            return false;
        }
        entries.last_cas = entries.last_cas.wrapping_add(1).max(1);
        let next = entries.last_cas;
        entries.values.insert(key.to_vec(), (value.to_vec(), next));
        true
    }

    /// How many keys there are; nothing ever takes one away.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries().values.len()
    }

    /// Whether nothing was ever written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cas_rules() {
        let shared = SharedData::default();
        assert!(shared.write(b"k", b"1", 77), "a missing key takes any cas");
        let (_, cas) = shared.read(b"k").unwrap();
        assert!(!shared.write(b"k", b"2", cas + 1), "a stale cas is refused");
        assert!(shared.write(b"k", b"2", cas), "the stored cas is taken");
        assert!(shared.write(b"k", b"3", 0), "cas 0 always overwrites");
        assert_eq!(shared.read(b"k").unwrap().0, b"3");
        assert_eq!(shared.len(), 1);
    }
}
