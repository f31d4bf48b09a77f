//! worker-runtime

#[cfg(feature = "fs-store")]
#[allow(dead_code, unused_imports, reason = "the store proper calls it")]
mod fs;
#[cfg(any(feature = "fs-store", feature = "memory-store"))]
#[allow(dead_code, unused_imports, reason = "the store proper calls it")]
mod storage;
