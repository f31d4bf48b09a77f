//! What is told of a confinement: to the command, to whoever looks at its Worker, and to whoever asked
//! for what can't be had.

use std::fs;

use libtest_mimic::Trial;
use serde_json::{Value, json};
use worker_runtime_execution::exec::{ExecOptions, Shim};

use super::*;
use crate::support::within_tokio;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        within_tokio(
            "without_landlock_a_command_that_is_to_be_confined_does_not_run",
            no_landlock,
        ),
        within_tokio(
            "without_a_shim_a_command_that_is_to_be_confined_does_not_run",
            no_shim,
        ),
        within_tokio("what_the_kernel_cannot_hold_is_told", outer),
        within_tokio("a_place_that_is_not_there_is_told", missing),
        within_tokio(
            "a_command_that_nobody_confines_is_told_where_it_matters",
            off,
        ),
        within_tokio(
            "a_command_is_told_its_scope_and_works_in_it",
            told_to_command,
        ),
        within_tokio(
            "a_long_lived_command_is_told_its_scope_with_each_run",
            long_lived,
        ),
        within_tokio(
            "a_scope_that_no_variable_can_hold_fails_the_run_and_says_so",
            too_long,
        ),
    ]
}

async fn no_landlock() {
    let options = ExecOptions {
        landlock_version_max: 0,
        ..options()
    };
    let ground = Ground::new(options).await;
    let worker = ground.confined(write("in")).await;
    expect_refused(&ground, worker, "no Landlock").await;
    // The same command runs where nobody asked for it.
    ground.end(worker).await;
    let mut config = writer();
    config["confine"] = json!("off");
    let worker = ground.create(holding(config, write("in"))).await;
    ground.expect(worker, &[("0 make in/new", &["ok"])]).await;
}

async fn no_shim() {
    let options = ExecOptions {
        shim: Shim::Without,
        ..options()
    };
    let ground = Ground::new(options).await;
    let worker = ground.confined(write("in")).await;
    expect_refused(&ground, worker, "there is no shim").await;
}

async fn outer() {
    let ground = Ground::new(options()).await;
    let mut scope = write("in");
    scope.deny.push(rule("in/deep"));
    let worker = ground.confined(scope).await;
    let steps: &[(&str, &[&str])] = &[
        ("0 write out/file", &[EACCES]),
        // Denied, and yet nobody keeps it out: so that is told.
        ("0 write in/deep/file", &["ok"]),
    ];
    ground.expect(worker, steps).await;
    let reason = "the kernel does not keep it from here:in/deep (denied)";
    let told = json!({ "state": "outer", "reason": reason });
    assert_eq!(ground.confinement(worker), told);
    // Two rules that leave a third place out are held as they are.
    ground.end(worker).await;
    let mut scope = write("in/deep");
    scope.allow.push(rule("in/file"));
    let worker = ground.confined(scope).await;
    let steps: &[(&str, &[&str])] = &[
        ("0 write in/deep/file", &["ok"]),
        ("0 write in/file", &["ok"]),
        ("0 make in/other", &[EACCES]),
        ("0 remove in/file", &[EACCES]),
    ];
    ground.expect(worker, steps).await;
    assert_eq!(ground.confinement(worker), json!({ "state": "whole" }));
}

async fn missing() {
    let ground = Ground::new(options()).await;
    let mut scope = write("in/new");
    scope.allow.push(rule("in/deep"));
    scope.allow.push(rule("in/deep/later"));
    let worker = ground.confined(scope).await;
    let steps: &[(&str, &[&str])] = &[
        ("0 mkdir in/new", &[EACCES]),
        ("0 mkdir in/deep/later", &["ok"]),
    ];
    ground.expect(worker, steps).await;
    let told =
        json!({ "state": "whole", "reason": "not there, so it can't be written: here:in/new" });
    assert_eq!(ground.confinement(worker), told);
    // It is there when the next command starts.
    fs::create_dir(ground.path("in/new")).unwrap();
    ground.expect(worker, &[("0 make in/new/x", &["ok"])]).await;
    assert_eq!(ground.confinement(worker), json!({ "state": "whole" }));
}

async fn off() {
    let ground = Ground::new(options()).await;
    let mut config = writer();
    config["confine"] = json!("off");
    let holds = ground.create(holding(config.clone(), write("in"))).await;
    ground.expect(holds, &[("0 write out/file", &["ok"])]).await;
    assert_eq!(ground.confinement(holds), json!({ "state": "off" }));
    let holds_nothing = ground.create(Host::request(config)).await;
    ground
        .expect(holds_nothing, &[("0 write out/file", &["ok"])])
        .await;
    assert_eq!(ground.confinement(holds_nothing), Value::Null);
}

async fn told_to_command() {
    let ground = Ground::new(options()).await;
    let script = r#"pwd; echo "$WORKER_RUNTIME_FENCE"; echo "$WORKER_RUNTIME_SCOPE""#;
    let mut scope = write("in");
    scope.deny.push(rule("in/deep"));
    let mut request = holding(shell(script), scope);
    request.delegation = write("in/sub");
    let worker = ground.create(request).await;
    let told = |told: Told| -> (String, String, Value) {
        let text = told.text();
        let mut lines = text.lines().map(str::to_owned);
        let mut next = || lines.next().unwrap();
        (next(), next(), serde_json::from_str(&next()).unwrap())
    };
    let (directory, fence, scope) = told(ground.host.run(worker, "x").await);
    let rule_text = |path: &str| {
        let path = ground.path(path);
        json!({ "path": path, "permission": "write", "recursive": true })
    };
    assert_eq!(directory, ground.path("in"));
    let view = ground.host.runtime.catalog().get(worker).unwrap();
    assert_eq!(fence, view.fence.unwrap().to_string());
    let own = json!({ "allow": [rule_text("in")], "deny": [rule_text("in/deep")] });
    assert_eq!(scope, own);
    // What is lent is told with the next run, under another fence.
    let mut child = holding(shell("true"), write("in/sub"));
    child.spec.parent = Some(worker);
    ground.create(child).await;
    let (_, later, scope) = told(ground.host.run(worker, "x").await);
    assert_ne!(fence, later);
    let mut lent = own;
    lent["lent"] = json!([{ "allow": [rule_text("in/sub")] }]);
    assert_eq!(scope, lent);
}

async fn too_long() {
    let ground = Ground::new(options()).await;
    let part = "x".repeat(200);
    let rules = (0..250).map(|number| rule(&format!("{part}/{part}/{part}/{number}")));
    let scope = Scope {
        allow: rules.collect(),
        deny: Vec::new(),
    };
    let worker = ground
        .create(holding(shell("echo ran"), scope.clone()))
        .await;
    let told = ground.host.run(worker, "x").await;
    let stop = &told.outcome()["stop"];
    assert_eq!(stop["code"], "WR-RUN-START-FAILED", "{stop}");
    let message = stop["message"].as_str().unwrap();
    assert!(message.contains("as a variable, more than"), "{message}");
    assert_eq!(told.text(), "");
    // A line has no such bound.
    ground.end(worker).await;
    let worker = ground.create(holding(agent("plain"), scope)).await;
    let told = ground.host.run(worker, "!end").await;
    assert_eq!(told.outcome()["kind"], "completed");
}

async fn long_lived() {
    let ground = Ground::new(options()).await;
    let mut config = agent("plain");
    config["confine"] = json!("on");
    let mut request = holding(config, write("in"));
    request.delegation = write("in/sub");
    let worker = ground.create(request).await;
    let input = |told: Told| -> Value { serde_json::from_str(&told.text()).unwrap() };
    let first = input(ground.host.run(worker, "!say-last\n!end").await);
    assert_eq!(first["scope"]["allow"][0]["path"], ground.path("in"));
    assert_eq!(ground.confinement(worker)["state"], "outer");
    let reason = ground.confinement(worker)["reason"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(reason.contains("what it lends while it runs"), "{reason}");
    let same = input(ground.host.run(worker, "!say-last\n!end").await);
    assert_eq!(same["scope"], first["scope"]);
    assert!(same["fence"].as_u64() > first["fence"].as_u64());
    assert_eq!(ground.confinement(worker)["reason"], reason);
    // The kernel keeps it to what it was when it was started; it is told what is so now.
    let mut child = holding(shell("true"), write("in/sub"));
    child.spec.parent = Some(worker);
    let child = ground.create(child).await;
    let lent = input(ground.host.run(worker, "!say-last\n!end").await);
    assert_eq!(
        lent["scope"]["lent"][0]["allow"][0]["path"],
        ground.path("in/sub")
    );
    let told = ground.confinement(worker)["reason"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(told.contains("when the command was started"), "{told}");
    // Given back, it is as it was.
    ground.end(child).await;
    ground.host.run(worker, "!end").await;
    assert_eq!(ground.confinement(worker)["reason"], reason);
}
