//! What the parts may know of each other, and what is written down about them.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
};

use serde_json::Value;
use worker_runtime_core::Code;

const TESTS: &str = env!("CARGO_MANIFEST_DIR");

fn cargo(arguments: &[&str]) -> String {
    let root = Path::new(TESTS).parent().unwrap();
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(root)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The packages of this workspace, and what each depends on: name, and `dev`, `build` or nothing.
fn dependencies() -> BTreeMap<String, Vec<(String, Option<String>)>> {
    dependencies_of("Cargo.toml")
}

/// The same of the workspace that this manifest is of.
fn dependencies_of(manifest: &str) -> BTreeMap<String, Vec<(String, Option<String>)>> {
    let text = cargo(&[
        "metadata",
        "--manifest-path",
        manifest,
        "--offline",
        "--format-version",
        "1",
        "--no-deps",
    ]);
    let metadata: Value = serde_json::from_str(&text).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let of = |package: &Value| {
        let list = package["dependencies"].as_array().unwrap();
        list.iter()
            .map(|dependency| {
                let name = dependency["name"].as_str().unwrap().to_owned();
                (name, dependency["kind"].as_str().map(str::to_owned))
            })
            .collect()
    };
    packages
        .iter()
        .map(|package| (package["name"].as_str().unwrap().to_owned(), of(package)))
        .collect()
}

#[test]
fn arrows_between_crates_go_to_the_core_and_from_the_command() {
    let allowed: BTreeMap<&str, &[&str]> = [
        ("worker-runtime-core", &[][..]),
        ("worker-runtime-persist", &["worker-runtime-core"][..]),
        ("worker-runtime-execution", &["worker-runtime-core"][..]),
        ("worker-runtime-http", &["worker-runtime-core"][..]),
    ]
    .into();
    // These may know all.
    let free = [
        "worker-runtime",
        "worker-runtime-tests",
        "worker-runtime-benches",
        "worker-runtime-fault",
        "worker-runtime-xtask",
    ];
    for (package, dependencies) in dependencies() {
        if free.contains(&package.as_str()) {
            continue;
        }
        let allowed = allowed
            .get(package.as_str())
            .unwrap_or_else(|| panic!("{package} is a new crate: say here what it may know"));
        for (dependency, kind) in dependencies {
            let ours = dependency.starts_with("worker-runtime") && kind.is_none();
            assert!(
                !ours || allowed.contains(&dependency.as_str()),
                "{package} depends on {dependency}"
            );
        }
    }
}

#[test]
fn the_core_knows_no_engine_no_http_and_no_command_line() {
    let tree = linked("worker-runtime-core", &[]);
    for foreign in ["redb", "axum", "hyper", "clap", "rustix", "bincode"] {
        assert!(!tree.contains(foreign), "the core links {foreign}");
    }
}

#[test]
fn an_embedder_with_the_store_in_memory_links_no_http_no_command_line_and_no_sockets() {
    let tree = linked(
        "worker-runtime-persist",
        &["--no-default-features", "--features", "memory-store"],
    );
    assert!(tree.contains("redb") && tree.contains("worker-runtime-core"));
    // mio is what tokio's `net` needs.
    for foreign in ["axum", "hyper", "clap", "mio", "socket2", "rustix"] {
        assert!(!tree.contains(foreign), "it links {foreign}");
    }
}

/// Every package that is linked into this one.
fn linked(package: &str, features: &[&str]) -> BTreeSet<String> {
    let mut arguments = vec![
        "tree",
        "--offline",
        "--package",
        package,
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ];
    arguments.extend(features);
    let tree = cargo(&arguments);
    let names = tree.lines().filter_map(|line| line.split(' ').next());
    names.map(str::to_owned).collect()
}

#[test]
fn every_direct_dependency_has_its_line_of_reason() {
    let page = include_str!("../docs/dependencies.md");
    let told: BTreeSet<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(name, _)| name)
        .collect();
    // The fuzz targets are a workspace of their own.
    let used: BTreeSet<String> = dependencies()
        .into_values()
        .chain(dependencies_of("crates/fault/fuzz/Cargo.toml").into_values())
        .flatten()
        .map(|(name, _)| name)
        .filter(|name| !name.starts_with("worker-runtime"))
        .collect();
    let used: BTreeSet<&str> = used.iter().map(String::as_str).collect();
    assert_eq!(
        told, used,
        "docs/dependencies.md (left) against the manifests"
    );
}

#[test]
fn every_error_page_is_of_a_code_and_every_code_is_in_the_domain() {
    let pages = Path::new(TESTS).parent().unwrap().join("docs/errors");
    let pages: BTreeSet<String> = std::fs::read_dir(pages)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let codes: BTreeSet<String> = Code::ALL
        .iter()
        .map(|code| code.as_str().to_owned())
        .collect();
    assert_eq!(pages, codes);
    for code in Code::ALL {
        let title = code.page().lines().next().unwrap();
        assert!(title.contains(code.as_str()), "{title}");
    }
}

/// Every file with Rust source below a directory of the project.
fn sources(below: &Path, into: &mut String) {
    for entry in std::fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn every_test_that_the_track_record_names_is_there() {
    let root = Path::new(TESTS).parent().unwrap();
    let text = std::fs::read_to_string(root.join("RELIABILITY.md")).unwrap();
    let (_, record) = text.split_once("| bug | found by | caught by |").unwrap();
    let mut code = String::new();
    for below in ["crates", "tests"] {
        sources(&root.join(below), &mut code);
    }
    let named = record.split('`').skip(1).step_by(2);
    // A test says what holds in words; a part of the harness has one word.
    let mut count = 0;
    for name in named.filter(|name| name.matches('_').count() >= 3 && !name.contains('/')) {
        let name = name.rsplit("::").next().unwrap();
        assert!(code.contains(&format!("fn {name}(")), "there is no {name}");
        count += 1;
    }
    assert!(count > 30, "{count} tests are named");
}
