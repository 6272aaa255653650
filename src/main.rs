//! The `dockmaster` binary.

fn main() {}
