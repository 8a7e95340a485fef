//! Small workspaces with one fault each, and without any.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]
use std::path::Path;

/// A workspace of one crate `a` with these files, and what is wrong with it.
fn faults(files: &[(&str, &str)]) -> Vec<String> {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "Cargo.toml", "[workspace]\n[workspace.metadata]\nfloors = [[\"a\"]]\n");
    write(root.path(), "a/Cargo.toml", "[package]\nname = \"salt402-a\"\n");
    for (file, text) in files {
        write(root.path(), &format!("a/src/{file}"), text);
    }
    salt402_rooms::faults(root.path()).unwrap()
}

fn write(root: &Path, file: &str, text: &str) {
    let path = root.join(file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

#[test]
fn imports_in_one_direction_are_no_circle() {
    let found = faults(&[
        ("lib.rs", "mod low; mod high; pub use high::High; pub use low::Low;"),
        ("low.rs", "pub struct Low;"),
        ("high.rs", "use crate::low::Low; pub struct High(Low);"),
    ]);
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn two_files_that_import_each_other_are_named_with_their_lines() {
    let found = faults(&[
        ("lib.rs", "mod x; mod y;"),
        ("x.rs", "use crate::y::Y;\npub struct X(Y);"),
        ("y.rs", "pub struct Y;\n\nfn back(_: crate::x::X) {}"),
    ]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("a/src: 2 import each other: x.rs, y.rs"), "{}", found[0]);
    assert!(found[0].contains("a/src/x.rs:1: crate::y::Y (of y.rs)"), "{}", found[0]);
    assert!(found[0].contains("a/src/y.rs:3: crate::x::X (of x.rs)"), "{}", found[0]);
}

#[test]
fn a_circle_through_re_exports_is_found() {
    for lib in ["mod x; mod y; pub use x::X; pub use y::Y;", "mod x; mod y; pub use x::*; pub use y::*;"] {
        let found = faults(&[
            ("lib.rs", lib),
            ("x.rs", "use crate::Y; pub struct X(Y);"),
            ("y.rs", "use super::X as Other; pub struct Y(Option<Box<Other>>);"),
        ]);
        assert_eq!(found.len(), 1, "{lib}: {found:?}");
    }
}

#[test]
fn a_circle_through_a_macro_a_function_and_a_whole_module_is_found() {
    for back in [
        "pub struct Y; fn back() { println!(\"{}\", crate::x::one()); }",
        "pub struct Y; fn back() { use crate::x::{self, one}; let _ = (one(), x::one()); }",
        "use crate::x; pub struct Y; fn back() { x::one(); }",
    ] {
        let found = faults(&[
            ("lib.rs", "mod x; mod y;"),
            ("x.rs", "use crate::y::Y; pub struct X(Y); pub fn one() {}"),
            ("y.rs", back),
        ]);
        assert_eq!(found.len(), 1, "{back}: {found:?}");
    }
}

#[test]
fn a_function_with_its_modules_name_is_followed_once() {
    let found = faults(&[
        ("lib.rs", "mod x; mod y; pub use x::x; pub use y::Y;"),
        ("x.rs", "use crate::y::Y; pub fn x(_: Y) {} pub struct X;"),
        ("y.rs", "use crate::x::{X, x}; pub struct Y(X); fn back() { x(Y(X)) }"),
    ]);
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn a_long_circle_is_one_and_what_leads_into_it_is_left_out() {
    let found = faults(&[
        ("lib.rs", "mod w; mod x; mod y; mod z;"),
        ("w.rs", "use crate::x::X; pub struct W(X);"),
        ("x.rs", "use crate::y::Y; pub struct X(Y);"),
        ("y.rs", "use crate::z::Z; pub struct Y(Z);"),
        ("z.rs", "pub struct Z; fn back(_: crate::x::X) {}"),
    ]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("a/src: 3 import each other: x.rs, y.rs, z.rs"), "{}", found[0]);
}

#[test]
fn tests_may_import_what_they_test() {
    let found = faults(&[
        ("lib.rs", "mod x; mod y;"),
        ("x.rs", "use crate::y::Y; pub struct X(Y);"),
        ("y.rs", "pub struct Y; #[cfg(test)] mod tests { use crate::x::X; fn t(_: X) {} }"),
    ]);
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn rooms_that_import_each_other_are_a_circle_even_where_their_files_are_none() {
    let found = faults(&[
        ("lib.rs", "mod p; mod q;"),
        ("p/mod.rs", "mod low; mod high; pub use low::Low;"),
        ("p/low.rs", "pub struct Low;"),
        ("p/high.rs", "pub struct High(crate::q::Middle);"),
        ("q/mod.rs", "mod middle; pub use middle::Middle;"),
        ("q/middle.rs", "use crate::p::Low; pub struct Middle(Low);"),
    ]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("a/src: 2 import each other: p, q"), "{}", found[0]);
}

#[test]
fn a_room_s_own_file_and_what_is_in_it_are_told_apart() {
    let inside = faults(&[
        ("lib.rs", "mod p;"),
        ("p.rs", "mod part; use part::Part; pub struct P(Part);"),
        ("p/part.rs", "pub struct Part; fn back(_: super::P) {}"),
    ]);
    assert_eq!(inside.len(), 1, "{inside:?}");
    let shown = faults(&[
        ("lib.rs", "mod p;"),
        ("p.rs", "mod part; pub use part::Part; pub struct P;"),
        ("p/part.rs", "pub struct Part(super::P);"),
    ]);
    assert_eq!(shown, Vec::<String>::new());
}

#[test]
fn a_crate_may_depend_on_lower_floors_alone() {
    let root = tempfile::tempdir().unwrap();
    write(
        root.path(),
        "Cargo.toml",
        "[workspace]\n[workspace.metadata]\nfloors = [[\"a\"], [\"b\", \"c\"]]\n",
    );
    for (name, dependencies) in [
        ("a", "salt402-b.workspace = true"),
        ("b", "salt402-a.workspace = true\nserde = \"1\""),
        ("c", "salt402-b.workspace = true\nsalt402-d.workspace = true"),
    ] {
        let manifest = format!("[package]\nname = \"salt402-{name}\"\n[dependencies]\n{dependencies}\n");
        write(root.path(), &format!("{name}/Cargo.toml"), &manifest);
        write(root.path(), &format!("{name}/src/lib.rs"), "");
    }
    let found = salt402_rooms::faults(root.path()).unwrap();
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[0].starts_with("a/Cargo.toml: depends on salt402-b, which is not below"), "{}", found[0]);
    assert!(found[1].starts_with("c/Cargo.toml: depends on salt402-b, which is not below"), "{}", found[1]);
    assert!(found[2].starts_with("c/Cargo.toml: depends on salt402-d, which has no floor"), "{}", found[2]);
}
