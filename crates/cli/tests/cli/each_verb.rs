//! Every command there is: its help, and what it says when something is wrong. The commands are found
//! by what `--help` lists, so that none can be forgotten.

use std::collections::BTreeSet;

use crate::support::{Place, Ran, snapshot};

/// Something that can go wrong with each command, in a store with one Worker `w` that has ended its run.
const MISTAKES: &[&[&str]] = &[
    &["run", "--scope", "src", "--", "true"],
    &["serve", "--bind", "nowhere"],
    &["worker", "ls", "--state", "nowhere"],
    &["worker", "show", "nobody"],
    &["worker", "tree", "nobody"],
    &["worker", "create", "--profile", "poet"],
    &["worker", "send", "nobody", "hello"],
    &["worker", "answer", "w", "write", "allow"],
    &["worker", "attach", "w"],
    &["worker", "run", "nobody"],
    &["worker", "stop", "nobody"],
    &["worker", "cancel", "nobody"],
    &["worker", "pause", "ended"],
    &["worker", "resume", "ended"],
    &["worker", "archive", "w"],
    &["worker", "restore", "ended"],
    &["worker", "rm", "w", "--yes"],
    &["lock", "ls", "--state", "nowhere"],
    &["lock", "show", "nobody"],
    &["lock", "who", "nowhere:src"],
    &["lock", "conflicts"],
    &["lock", "verify", "src", "--worker", "w", "--fence", "7"],
    &["lock", "acquire", "src", "--ttl", "10m", "--holder", "me"],
    &["lock", "renew", "nobody", "--fence", "7"],
    &["lock", "change", "w", "--scope", "write:../src"],
    &["lock", "release", "ended"],
    &["lock", "reclaim", "nobody"],
    &["op", "log", "--worker", "nobody"],
    &["op", "show", "999"],
    &["transcript", "show", "nobody"],
    &["transcript", "tail", "nobody"],
    &["event", "ls", "--after", "nowhere"],
    &["event", "tail", "nobody"],
    &["cursor", "show", "nowhere"],
    &["state", "info", "--state", "nowhere"],
    &["state", "accept-older", "--state", "nowhere"],
    &["state", "check", "--state", "nowhere"],
    &["token", "create", "--name", "", "--scope", "observe"],
    &["token", "ls", "--state", "nowhere"],
    &["token", "revoke", "nobodys"],
    &["config", "show", "--config", "nowhere"],
    &["status", "--state", "nowhere"],
    &["errors", "explain", "WR-NOTHING"],
    &["completions", "cmd"],
    &["man", "run"],
    &["version", "-o", "name"],
];

fn help(place: &Place, command: &[&str]) -> Ran {
    let ran = place.run(&[command, &["--help"]].concat());
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran}");
    ran
}

/// The commands that a help lists.
fn listed(help: &Ran) -> Vec<String> {
    let below = help
        .stdout
        .split("\nCommands:\n")
        .nth(1)
        .unwrap_or_default();
    let lines = below.lines().take_while(|line| !line.is_empty());
    let names = lines.filter_map(|line| line.split_whitespace().next());
    let names = names.filter(|name| *name != "help");
    names.map(str::to_owned).collect()
}

/// Every command that has none below it, and the helps of all.
fn walk(place: &Place, command: &[&str], leaves: &mut BTreeSet<String>, helps: &mut Vec<Ran>) {
    let told = help(place, command);
    let below = listed(&told);
    helps.push(told);
    if below.is_empty() {
        leaves.insert(command.join(" "));
    }
    for name in &below {
        walk(place, &[command, &[name]].concat(), leaves, helps);
    }
}

/// Every command that has none below it.
pub(crate) fn leaves(place: &Place) -> BTreeSet<String> {
    let (mut leaves, mut helps) = (BTreeSet::new(), Vec::new());
    walk(place, &[], &mut leaves, &mut helps);
    leaves
}

#[test]
fn every_help_says_what_there_is() {
    let place = Place::new();
    let (mut leaves, mut helps) = (BTreeSet::new(), Vec::new());
    walk(&place, &[], &mut leaves, &mut helps);
    assert!(leaves.len() > 30, "{leaves:?}");
    // What every command takes is told once: whole with the first two, which end differently.
    let everywhere = "\nEverywhere:\n";
    let (_, common) = helps[1].stdout.split_once(everywhere).unwrap();
    let common = common.to_owned();
    for told in &mut helps[2..] {
        let (own, rest) = told.stdout.split_once(everywhere).unwrap();
        assert_eq!(rest, common, "{told}");
        told.stdout = format!("{own}\nEverywhere: as above\n");
    }
    snapshot(&place, "help", &helps);
    assert!(!place.state().exists(), "a help made a store");
}

#[test]
fn every_command_says_what_is_wrong_and_what_to_type() {
    let place = Place::new();
    let leaves = leaves(&place);
    for leaf in &leaves {
        let words: Vec<&str> = leaf.split(' ').collect();
        let is_there = MISTAKES.iter().any(|mistake| mistake.starts_with(&words));
        assert!(is_there, "say here what can go wrong with `{leaf}`");
    }
    for (name, end) in [("w", None), ("ended", Some("cancel"))] {
        let ran = place.run(&["run", "--name", name, "--", "true"]);
        assert_eq!(ran.code, Some(0), "{ran}");
        if let Some(verb) = end {
            assert_eq!(place.run(&["worker", verb, name]).code, Some(0));
        }
    }
    let calls: Vec<Ran> = MISTAKES.iter().map(|mistake| place.run(mistake)).collect();
    for ran in &calls {
        assert!(ran.code.is_some_and(|code| code > 0), "{ran}");
        assert!(ran.stderr.starts_with("error[WR-"), "{ran}");
        assert_eq!(ran.stdout, "", "{ran}");
    }
    // A word that no command takes is a mistake of the same kind everywhere.
    for leaf in &leaves {
        let mut words: Vec<&str> = leaf.split(' ').collect();
        words.push("--no-such-option");
        let ran = place.run(&words);
        assert_eq!(ran.code, Some(2), "{ran}");
        assert!(ran.stderr.starts_with("error[WR-USAGE]: "), "{ran}");
    }
    snapshot(&place, "mistakes", &calls);
}
