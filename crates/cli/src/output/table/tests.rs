use super::Table;

#[test]
fn columns_are_as_wide_as_their_widest_cell() {
    let mut table = Table::new(&["ID", "NAME"]);
    table.row(["1".to_owned(), "a long name".to_owned()]);
    table.row(["1234".to_owned(), String::new()]);
    assert_eq!(
        table.lines(),
        ["ID    NAME", "1     a long name", "1234  -"]
    );
}

#[test]
fn nothing_has_no_header() {
    assert!(Table::new(&["ID"]).lines().is_empty());
}
