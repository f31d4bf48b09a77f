//! What the parts may know of each other.
