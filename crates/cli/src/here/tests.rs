use std::path::PathBuf;

use worker_runtime_core::Mounts;

use super::Here;

fn mount(path: &str) -> String {
    Here::of(PathBuf::from(path)).mount
}

#[test]
fn a_directory_always_has_the_same_name_and_another_one_another() {
    assert_eq!(mount("/home/me/project"), mount("/home/me/project"));
    assert_ne!(mount("/home/me/project"), mount("/home/you/project"));
    assert!(mount("/home/me/project").starts_with("project-"));
}

#[test]
fn every_directory_has_a_name_that_a_mount_can_have() {
    assert!(mount("/").starts_with("root-"));
    assert!(mount("/a:b c").starts_with("a_b_c-"));
    assert!(mount(&format!("/{}", "ä".repeat(200))).len() <= 64);
}

#[test]
fn the_name_and_not_the_path_is_what_others_see() {
    let here = Here::of(PathBuf::from("/home/me/project"));
    assert!(!here.anchor().unwrap().mount.contains("home"));
    assert_eq!(here.workspace().mount, here.mount());
}

#[test]
fn the_closest_of_the_operators_names_stands_for_a_directory_below_it() {
    let mut mounts = Mounts::default();
    mounts.set("all", "/home").unwrap();
    mounts.set("mine", "/home/me").unwrap();
    mounts.set("other", "/home/me/projects").unwrap();
    let here = Here::of(PathBuf::from("/home/me/project/src")).named_by(&mounts);
    let workspace = here.workspace();
    assert_eq!(
        (workspace.mount.as_str(), workspace.path.as_str()),
        ("mine", "project/src")
    );
    assert_eq!(
        (here.below(""), here.below("a")),
        ("project/src".into(), "project/src/a".into())
    );
    assert_eq!(here.anchor(), None);
    let elsewhere = Here::of(PathBuf::from("/srv"));
    assert_eq!(elsewhere.clone().named_by(&mounts), elsewhere);
}
