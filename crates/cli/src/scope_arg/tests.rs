use worker_runtime_core::{Code, Permission};

use super::scope;
use crate::here::Here;

fn here() -> Here {
    Here::at("/home/me/project")
}

fn rule(text: &str) -> worker_runtime_core::ScopeRule {
    let scope = scope(&[text.to_owned()], &[], &here()).unwrap();
    assert_eq!(scope.allow.last(), here().anchor().as_ref());
    scope.allow.into_iter().next().unwrap()
}

#[test]
fn a_rule_covers_everything_below_unless_it_says_direct() {
    let all = rule("write:src");
    assert_eq!(
        (all.mount.as_str(), all.path.as_str()),
        (here().mount(), "src")
    );
    assert_eq!((all.permission, all.recursive), (Permission::Write, true));
    let direct = rule("read:src:direct");
    assert_eq!(
        (direct.permission, direct.recursive),
        (Permission::Read, false)
    );
}

#[test]
fn the_directory_itself_and_paths_in_full_below_it_are_taken() {
    assert_eq!(rule("write:.").path, "");
    assert_eq!(rule("write:/home/me/project/src").path, "src");
    assert_eq!(rule("write:/home/me/project").path, "");
    assert_eq!(rule("write:/etc").path, "/etc");
}

#[test]
fn a_text_without_a_permission_is_no_rule() {
    let error = scope(&["src".to_owned()], &[], &here()).unwrap_err();
    assert_eq!(error.code, Code::ScopeInvalid);
    assert!(error.message.contains("write:src"), "{error}");
}
