//! Where the process that has a store open serves, told to others in the lock's file.

use worker_runtime_core::store::StoreError;

use super::medium::not_announced;
use crate::fs::{Address, WriterLock};

/// Tells other processes where this one serves. It works while the store is open, whoever owns that by
/// now, and changes nothing afterwards.
///
/// Clients on the same machine send what they may do everything with to this address. So it is told
/// once somebody listens there, and taken back while somebody still does: whoever gets the port next
/// is never told of.
#[derive(Debug, Clone)]
pub struct PublicAddress(Address);

impl PublicAddress {
    pub(super) fn of(lock: &WriterLock) -> Self {
        Self(lock.address())
    }

    /// Tells where.
    ///
    /// # Errors
    /// When it can't be written; others know what they knew before.
    pub fn publish(&self, address: &str) -> Result<(), StoreError> {
        self.0.publish(address).map_err(not_announced)
    }

    /// Takes it back.
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    pub fn withdraw(&self) -> Result<(), StoreError> {
        self.0.withdraw().map_err(not_announced)
    }
}
