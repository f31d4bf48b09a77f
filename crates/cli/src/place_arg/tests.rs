use std::path::Path;

use worker_runtime_core::Mounts;

use super::{below_mount, place};
use crate::here::Here;

#[test]
fn what_has_a_colon_before_any_slash_is_below_a_mount() {
    for (text, mount, path) in [
        ("repo:", "repo", ""),
        ("repo:src/a", "repo", "src/a"),
        ("repo:a:b", "repo", "a:b"),
    ] {
        let place = place(text, &[]).unwrap();
        assert_eq!(place.mount.as_deref(), Some(mount), "{text}");
        assert_eq!(place.path, path, "{text}");
    }
}

#[test]
fn anything_else_is_a_path_from_the_directory_of_this_process() {
    let here = std::env::current_dir().unwrap();
    let here = std::fs::canonicalize(here).unwrap();
    for (text, path) in [
        ("src", here.join("src")),
        ("./a:b", here.join("./a:b")),
        ("src/a:b", here.join("src/a:b")),
        (":x", here.join(":x")),
        ("/etc", "/etc".into()),
    ] {
        let place = place(text, &[]).unwrap();
        assert_eq!(place.mount, None, "{text}");
        assert_eq!(Path::new(&place.path), path, "{text}");
    }
    assert!(place("", &[]).is_err());
}

#[test]
fn a_path_is_below_the_closest_mount_that_is_known() {
    let top = tempfile::tempdir().unwrap();
    let top = std::fs::canonicalize(top.path()).unwrap();
    let project = top.join("project");
    std::fs::create_dir_all(project.join("src")).unwrap();
    std::os::unix::fs::symlink(&project, top.join("link")).unwrap();
    let own = Here::at(project.to_str().unwrap()).mount().to_owned();
    let nobodys = Mounts::default();
    let mut operators = Mounts::default();
    operators.set("work", &top).unwrap();
    for typed in ["project/src/new/x", "link/src/../src/new/x"] {
        let typed = top.join(typed);
        let typed = typed.to_str().unwrap();
        let found = below_mount(typed, &nobodys, |mount| mount == own).unwrap();
        assert_eq!((found.mount, found.path), (own.clone(), "src/new/x".into()));
        let found = below_mount(typed, &operators, |_| false).unwrap();
        let path = "project/src/new/x".to_owned();
        assert_eq!((found.mount.as_str(), found.path), ("work", path));
        assert_eq!(below_mount(typed, &nobodys, |_| false), None);
    }
}
