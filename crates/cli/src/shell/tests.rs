use super::{join, quote};

#[test]
fn a_plain_word_stays_as_it_is() {
    assert_eq!(quote("--name=a/b.c"), "--name=a/b.c");
}

#[test]
fn a_word_that_a_shell_would_take_apart_is_quoted() {
    assert_eq!(quote("echo hello"), "'echo hello'");
    assert_eq!(quote(""), "''");
    assert_eq!(quote("it's"), r"'it'\''s'");
    assert_eq!(quote("$HOME"), "'$HOME'");
}

#[test]
fn a_command_line_can_be_copied() {
    assert_eq!(join(["sh", "-c", "echo hi"]), "sh -c 'echo hi'");
}
