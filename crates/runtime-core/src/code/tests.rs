//! The pages are read at bad moments, so they have one form, and they promise only what is there.

use std::{collections::BTreeSet, path::Path};

use super::Code;

/// The published exit codes that an error can have, with the words of the published table.
const EXITS: &[&str] = &[
    "1 (failed)",
    "2 (usage)",
    "10 (no state)",
    "11 (locked)",
    "12 (not authorised)",
    "13 (newer schema)",
    "14 (unreachable)",
    "20 (damage that repair mends without loss)",
    "21 (damage that repair would pay for with data)",
    "22 (check could not finish)",
    "24 (state went back)",
    "70 (a bug)",
    "75 (try again)",
];

/// The commands that a page may name. Grows with the command line.
const COMMANDS: &[&str] = &[
    "--server http://HOST:7621 status",
    "--token-file FILE status",
    "--config FILE config show",
    "--help",
    "--version",
    "COMMAND --help",
    "event ls",
    "event tail",
    "lock acquire",
    "lock change",
    "lock conflicts",
    "lock ls",
    "lock reclaim",
    "lock release",
    "lock renew",
    "lock show",
    "lock verify",
    "lock who",
    "op log",
    "op show",
    "run --",
    "serve",
    "state accept-older",
    "state check",
    "state info",
    "status",
    "token create",
    "token ls",
    "transcript show",
    "worker attach",
    "worker cancel",
    "worker ls",
    "worker resume",
    "worker run",
    "worker send",
    "worker show",
    "worker stop",
    "worker tree",
];

#[test]
fn every_page_has_its_code_its_four_parts_and_a_published_exit_code() {
    for code in Code::ALL {
        let page = code.page();
        let mut at = 0;
        let parts = [
            "**What happened.** ",
            "**Why.** ",
            "**What to type next.**\n\n    ",
        ];
        for part in parts {
            let found = page
                .find(part)
                .unwrap_or_else(|| panic!("{code} lacks {part:?}"));
            assert!(found > at, "{code}: {part:?} is out of order");
            at = found;
        }
        assert!(page.starts_with(&format!("# {code}: ")), "{code}");
        let (_, exit) = page.rsplit_once("\n\n**Exit code:** ").unwrap();
        assert!(EXITS.contains(&exit.trim_end()), "{code}: {exit:?}");
        let lines = page.lines().count();
        assert!((8..=20).contains(&lines), "{code} has {lines} lines");
        assert!(
            page.lines().all(|line| line.chars().count() <= 100),
            "{code} is too wide"
        );
    }
}

#[test]
fn every_command_on_a_page_is_one_that_there_is() {
    for code in Code::ALL {
        for command in code.page().split("worker-runtime ").skip(1) {
            let known = COMMANDS.iter().any(|known| command.starts_with(known));
            assert!(known, "{code} names {:?}", command.lines().next());
        }
    }
}

#[test]
fn there_is_no_page_without_a_code() {
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors");
    let names: BTreeSet<String> = std::fs::read_dir(pages)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let codes = Code::ALL.iter().map(|code| format!("{code}.md"));
    assert_eq!(names, codes.collect());
}

#[test]
fn a_code_is_capital_words_and_says_the_same_everywhere() {
    for code in Code::ALL {
        let text = code.as_str();
        assert!(text.starts_with("WR-"), "{text}");
        assert!(
            text.bytes()
                .all(|byte| byte == b'-' || byte.is_ascii_uppercase()),
            "{text}"
        );
        assert_eq!(serde_json::to_string(code).unwrap(), format!("\"{code}\""));
    }
}
