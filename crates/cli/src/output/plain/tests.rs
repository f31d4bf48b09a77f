use super::{one_line, shown};

#[test]
fn a_text_becomes_one_line_and_what_is_cut_off_is_marked() {
    assert_eq!(one_line("a\n b\t\tc ", 20), "a b c");
    assert_eq!(one_line("hello world", 8), "hello w…");
    assert_eq!(one_line("hello world", 7), "hello…");
    assert_eq!(one_line("", 7), "");
}

#[test]
fn nothing_that_moves_a_terminal_gets_through() {
    assert_eq!(one_line("a\u{1b}[2Jb", 20), "a·[2Jb");
    assert_eq!(shown("a\r\u{1b}[2J\n\tb\u{7}"), "a··[2J\n\tb·");
}
