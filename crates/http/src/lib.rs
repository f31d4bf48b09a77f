//! worker-runtime over HTTP.
