//! Whatever the program tells its user to type must be understood by it.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use clap::{CommandFactory, Parser, error::ErrorKind};
use worker_runtime_core::Code;

use super::Cli;

/// Takes a line apart as a shell would, as far as single quotes go.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// Every command of this program in a text: to the end of its line or of its quotation.
fn commands(text: &str) -> BTreeSet<String> {
    // How a command is used is for people to fill in.
    let lines = text.lines().filter(|line| !line.starts_with("Usage: "));
    let text = lines.collect::<Vec<_>>().join("\n");
    let rests = text.split("worker-runtime ").skip(1);
    rests
        .filter_map(|rest| rest.split(['\n', '`', '"', ')']).next())
        // The program's name before its version is no command.
        .filter(|rest| !rest.starts_with("0."))
        .map(|rest| format!("worker-runtime {}", rest.trim_end()))
        .collect()
}

fn check(source: &str, command: &str) {
    let mut words = words(command);
    // On a page about any command.
    if words.get(1).is_some_and(|word| word == "COMMAND") {
        words[1] = "run".to_owned();
    }
    if let Err(error) = Cli::try_parse_from(&words) {
        let is_fine = matches!(
            error.kind(),
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
        );
        assert!(is_fine, "{source} suggests {command:?}: {error}");
    }
}

#[test]
fn the_tree_of_commands_is_whole() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_on_a_page_of_an_error_is_understood() {
    let mut count = 0;
    for code in Code::ALL {
        for command in commands(code.page()) {
            check(code.as_str(), &command);
            count += 1;
        }
    }
    assert!(count > 50, "only {count} commands were found");
}

/// The snapshots hold every kind of message that the program prints.
#[test]
fn every_command_in_a_message_is_understood() {
    let snapshots = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/snapshots");
    let mut count = 0;
    for entry in fs::read_dir(snapshots).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        // What the test typed itself, mistakes included, is not what the program suggests.
        let typed = text.lines().filter(|line| !line.starts_with("$ "));
        let text = typed.collect::<Vec<_>>().join("\n");
        for command in commands(&text) {
            if !command.contains('<') && !command.contains("[OPTIONS]") {
                check(&path.display().to_string(), &command);
                count += 1;
            }
        }
    }
    assert!(count > 30, "only {count} commands were found");
}

/// What the libraries tell to be typed: diagnostics carry whole commands.
#[test]
fn every_command_in_a_text_of_the_libraries_is_understood() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut count = 0;
    for name in ["runtime-core", "persist", "execution", "http"] {
        let mut sources = Vec::new();
        collect(&crates.join(name).join("src"), &mut sources);
        for path in sources {
            let text = fs::read_to_string(&path).unwrap();
            let code = text.lines().map(|line| line.split("//").next().unwrap());
            let code = code.collect::<Vec<_>>().join("\n");
            for command in commands(&code) {
                let id = "01890a5d-ac96-774b-bcce-b302099a8057";
                let command = command.replace("{worker_id}", id);
                check(&path.display().to_string(), &command);
                count += 1;
            }
        }
    }
    assert!(count > 3, "only {count} commands were found");
}

/// Every source file but those of tests.
fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && name != "tests" {
            collect(&path, files);
        } else if name.ends_with(".rs") && name != "tests.rs" {
            files.push(path);
        }
    }
}

#[test]
fn every_command_that_is_quoted_in_the_docs_is_understood() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let docs = fs::read_dir(root.join("docs")).unwrap();
    let docs = docs.map(|entry| entry.unwrap().path());
    let pages = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let mut count = 0;
    for path in pages.chain(["README.md", "RELIABILITY.md"].map(|name| root.join(name))) {
        let text = fs::read_to_string(&path).unwrap();
        for quoted in text.split('`').skip(1).step_by(2) {
            // The program's name alone is no command.
            if quoted.starts_with("worker-runtime ") {
                // A command may be named without what it takes.
                let named = Cli::try_parse_from(words(quoted)).err();
                let kind = named.map(|error| error.kind());
                if kind != Some(ErrorKind::MissingRequiredArgument) {
                    check(&path.display().to_string(), quoted);
                }
                count += 1;
            }
        }
    }
    assert!(count > 5, "only {count} commands were found");
}

#[test]
fn a_command_that_does_not_exist_would_be_noticed() {
    let error = Cli::try_parse_from(words("worker-runtime worker explode WORKER")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidSubcommand);
}

#[test]
fn what_follows_two_hyphens_belongs_to_the_command() {
    let cli = Cli::try_parse_from(words("worker-runtime run -o json -- ls -o --state")).unwrap();
    let super::Command::Run(args) = cli.command else {
        panic!("not run");
    };
    assert!(format!("{args:?}").contains(r#"["ls", "-o", "--state"]"#));
}
