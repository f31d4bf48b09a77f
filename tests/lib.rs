//! The tests of worker-runtime.
