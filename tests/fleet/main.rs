//! Tests on real hosts.

fn main() {}
