//! Scopes that enter through real directories and real symlinks.

use std::{fs, io, os::unix::fs::symlink, path::Path};

use tempfile::TempDir;

use super::{Mounts, PATH_MAX_BYTES, RULES_MAX, ScopeError};
use crate::scope::{HeldScope, Permission, Scope, ScopeRule};

/// A mount named `w` on a directory of its own, beside another directory that is not mounted.
struct Place {
    _dir: TempDir,
    top: std::path::PathBuf,
    outside: std::path::PathBuf,
    mounts: Mounts,
}

fn place() -> Place {
    let dir = TempDir::new().unwrap();
    let real = fs::canonicalize(dir.path()).unwrap();
    let (top, outside) = (real.join("top"), real.join("outside"));
    fs::create_dir_all(top.join("src/deep")).unwrap();
    fs::create_dir_all(outside.join("secret")).unwrap();
    fs::write(top.join("file"), "").unwrap();
    let mut mounts = Mounts::default();
    mounts.set("w", &top).unwrap();
    Place {
        _dir: dir,
        top,
        outside,
        mounts,
    }
}

fn rule(mount: &str, path: &str) -> ScopeRule {
    ScopeRule {
        mount: mount.to_owned(),
        path: path.to_owned(),
        permission: Permission::Write,
        recursive: true,
    }
}

impl Place {
    fn enter(&self, path: &str) -> Result<HeldScope, ScopeError> {
        self.mounts.enter(&Scope {
            allow: vec![rule("w", path)],
            deny: vec![],
        })
    }

    /// The target below the mount's directory.
    fn target(&self, path: &str) -> String {
        let held = self.enter(path).unwrap();
        assert_eq!(held.allow[0].path, path, "kept as it was asked for");
        let below = held.allow[0]
            .target
            .strip_prefix(self.top.to_str().unwrap());
        below.unwrap().to_owned()
    }

    fn refusal(&self, path: &str) -> ScopeError {
        let refusal = self.enter(path).unwrap_err();
        for hidden in [&self.top, &self.outside] {
            let texts = [refusal.to_string(), format!("{refusal:?}")];
            let told = texts
                .iter()
                .any(|text| text.contains(hidden.to_str().unwrap()));
            assert!(!told, "an absolute path got out: {refusal}");
        }
        refusal
    }
}

#[test]
fn spellings_of_one_place_have_one_target() {
    let place = place();
    for path in [
        "src",
        "src/",
        "./src",
        "src/.",
        "src//",
        "src/deep/..",
        "src/new/..",
    ] {
        assert_eq!(place.target(path), "/src", "{path:?}");
    }
    for path in ["", ".", "./", "src/.."] {
        assert_eq!(place.target(path), "", "{path:?}");
    }
    assert_eq!(place.target("SRC"), "/SRC", "case tells places apart");
}

#[test]
fn what_does_not_exist_yet_is_taken_below_its_nearest_parent() {
    let place = place();
    symlink("src", place.top.join("link")).unwrap();
    assert_eq!(place.target("new/er/est"), "/new/er/est");
    assert_eq!(place.target("link/new/er"), "/src/new/er");
}

#[test]
fn a_symlink_is_followed_wherever_it_stands() {
    let place = place();
    symlink(place.top.join("src"), place.top.join("link")).unwrap();
    symlink("../link/deep", place.top.join("src/again")).unwrap();
    assert_eq!(place.target("link"), "/src");
    assert_eq!(place.target("link/deep"), "/src/deep");
    assert_eq!(place.target("src/again"), "/src/deep");
    assert_eq!(
        place.target("src/again/.."),
        "/src",
        "the parent of where it led"
    );
}

#[test]
fn a_mount_that_is_a_symlink_and_one_that_is_not_meet_in_one_target() {
    let mut place = place();
    symlink(&place.top, place.outside.join("alias")).unwrap();
    let alias = place.outside.join("alias");
    place.mounts.set("alias", &alias).unwrap();
    let real = place.mounts.resolve("w", "src").unwrap();
    assert_eq!(place.mounts.resolve("alias", "src").unwrap(), real);
}

#[test]
fn leaving_the_mount_is_refused_by_name() {
    let place = place();
    symlink(&place.outside, place.top.join("out")).unwrap();
    symlink("../../outside/secret", place.top.join("src/out")).unwrap();
    let escapes = |path: &str| ScopeError::Escapes {
        rule: format!("w:{path}"),
    };
    for path in [
        "..",
        "../outside",
        "src/../..",
        "new/../../outside",
        "../top/src",
    ] {
        assert_eq!(place.refusal(path), escapes(path));
    }
    let link_escapes = |path: &str| ScopeError::LinkEscapes {
        rule: format!("w:{path}"),
    };
    for path in ["out", "out/secret", "out/new", "src/out", "out/../top/src"] {
        assert_eq!(place.refusal(path), link_escapes(path));
    }
}

#[test]
fn a_directory_whose_name_begins_like_the_mount_is_outside() {
    let place = place();
    let beside = place.top.with_file_name("top-secret");
    fs::create_dir(&beside).unwrap();
    symlink(&beside, place.top.join("out")).unwrap();
    let rule = "w:out".to_owned();
    assert_eq!(place.refusal("out"), ScopeError::LinkEscapes { rule });
}

#[test]
fn what_cannot_be_looked_up_is_refused_with_the_reason() {
    let place = place();
    symlink("two", place.top.join("one")).unwrap();
    symlink("one", place.top.join("two")).unwrap();
    symlink("nowhere", place.top.join("dangling")).unwrap();

    let looped = place.refusal("one/x");
    assert!(
        matches!(looped, ScopeError::LookUp { .. }) && looped.to_string().contains("loop"),
        "{looped}"
    );
    for path in ["dangling", "dangling/x"] {
        let rule = format!("w:{path}");
        assert_eq!(place.refusal(path), ScopeError::LinkDangles { rule });
    }
    let (rule, kind) = ("w:file/x".to_owned(), io::ErrorKind::NotADirectory);
    assert_eq!(place.refusal("file/x"), ScopeError::LookUp { rule, kind });
}

#[test]
fn texts_that_are_no_relative_path_are_refused() {
    let place = place();
    let rule = |path: &str| format!("w:{path}");
    let absolute = place.refusal("/etc");
    assert_eq!(absolute, ScopeError::Absolute { rule: rule("/etc") });
    for path in ["a\0b", "a\nb", "a\u{1b}[31m", "\u{85}"] {
        let control = ScopeError::ControlCharacter { rule: rule(path) };
        assert_eq!(place.refusal(path), control);
        assert!(!control.to_string().contains(char::is_control));
    }
    let long = "n/".repeat(PATH_MAX_BYTES);
    assert!(matches!(place.refusal(&long), ScopeError::TooLong { rule } if rule.len() == 256));
}

#[test]
fn a_target_that_grew_too_long_on_the_way_is_refused() {
    let place = place();
    // Short enough as it was asked for, too long with the mount before it.
    let path = "n/".repeat(PATH_MAX_BYTES / 2);
    let refusal = place.refusal(&path);
    let kind = io::ErrorKind::InvalidFilename;
    assert!(matches!(refusal, ScopeError::LookUp { kind: found, .. } if found == kind));
}

#[test]
fn a_target_whose_name_is_no_text_is_refused() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    let place = place();
    for (link, name) in [("latin", &b"caf\xe9"[..]), ("bell", b"ding\x07")] {
        let name = OsStr::from_bytes(name);
        fs::create_dir(place.top.join(name)).unwrap();
        symlink(name, place.top.join(link)).unwrap();
        let rule = format!("w:{link}");
        assert_eq!(place.refusal(link), ScopeError::NotText { rule });
    }
}

#[test]
fn mounts_are_known_by_plain_names_and_stand_on_absolute_paths() {
    let mut mounts = Mounts::default();
    for name in ["", "a:b", "a/b", "a\0", &"n".repeat(65)] {
        let refusal = mounts.set(name, "/w").unwrap_err();
        assert!(matches!(refusal, ScopeError::MountName { .. }), "{name:?}");
        let scope = Scope {
            allow: vec![rule(name, "")],
            deny: vec![],
        };
        let refusal = mounts.enter(&scope).unwrap_err();
        assert!(matches!(refusal, ScopeError::MountName { .. }), "{name:?}");
    }
    assert!(matches!(
        mounts.set("w", "relative"),
        Err(ScopeError::MountPath { .. })
    ));
    mounts.set("w", "/one").unwrap();
    mounts.set("w", "/two").unwrap();
    let all: Vec<_> = mounts.iter().collect();
    assert_eq!(all, [("w", Path::new("/two"))]);
    assert_eq!(
        mounts.resolve("v", "x"),
        Err(ScopeError::UnknownMount {
            rule: "v:x".to_owned(),
            mount: "v".to_owned()
        })
    );
}

#[test]
fn the_root_is_the_empty_text() {
    let mut mounts = Mounts::default();
    mounts.set("all", "/").unwrap();
    let scope = Scope {
        allow: vec![rule("all", ""), rule("all", "..")],
        deny: vec![rule("all", "no-such-directory-here")],
    };
    let held = mounts.enter(&scope).unwrap();
    assert_eq!(held.allow[0].target, "");
    assert_eq!(held.allow[1].target, "", "nothing is above the root");
    assert_eq!(held.deny[0].target, "/no-such-directory-here");
}

#[test]
fn a_scope_enters_whole_or_not_at_all_and_is_bounded() {
    let place = place();
    let mut scope = Scope {
        allow: vec![rule("w", "src"); RULES_MAX - 1],
        deny: vec![rule("w", "src/deep")],
    };
    let held = place.mounts.enter(&scope).unwrap();
    assert_eq!((held.allow.len(), held.deny.len()), (RULES_MAX - 1, 1));
    scope.deny[0].path = "..".to_owned();
    assert!(place.mounts.enter(&scope).is_err());
    scope.deny.push(rule("w", ""));
    let count = RULES_MAX + 1;
    assert_eq!(
        place.mounts.enter(&scope),
        Err(ScopeError::TooManyRules { count })
    );
}
