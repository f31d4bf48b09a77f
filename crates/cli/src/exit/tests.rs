use worker_runtime_core::Code;

use super::Exit;

#[test]
fn every_code_ends_the_program_as_its_page_says() {
    for code in Code::ALL {
        let exit = Exit::of(*code);
        let expected = format!("**Exit code:** {} ({})", exit.number(), exit.words());
        assert!(
            code.page().contains(&expected),
            "{code} ends with {exit:?}, and its page says otherwise"
        );
    }
}

#[test]
fn the_published_table_is_the_one_that_is_compiled_in() {
    let published = include_str!("../../../../docs/exit-codes.md");
    let rows: Vec<&str> = published
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| code"))
        .collect();
    assert_eq!(rows.len(), Exit::ALL.len());
    for (row, exit) in rows.iter().zip(Exit::ALL) {
        let expected = format!("| {} | {} |", exit.number(), exit.words());
        assert!(row.starts_with(&expected), "{row:?} lacks {expected:?}");
    }
}
