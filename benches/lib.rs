//! The benches of worker-runtime.
