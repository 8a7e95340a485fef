//! The `salt402` command.
fn main() {}
