//! Tasks of this repository that take more than one cargo command.

fn main() {}
