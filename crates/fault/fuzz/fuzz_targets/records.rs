//! See `worker_runtime_fuzz::records`.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| worker_runtime_fuzz::records::check(bytes));
