//! What a Worker is made of: profiles and places that the configuration names, tried out and made, the
//! same on a stopped store and through a server.

use std::fs;

use crate::{
    serving::Serving,
    support::{Place, Ran, snapshot},
};

/// A place with a configuration that names a profile and a directory.
fn configured() -> (Place, String) {
    let place = Place::new();
    let code = place.project().join("code");
    fs::create_dir_all(code.join("src")).unwrap();
    let config = place.project().join("config.toml");
    let text = format!(
        "[mounts]\ncode = {:?}\n\n[profiles.reviewer]\ndescription = \"reads changes\"\ninstructions = \"Read.\"\n",
        code.canonicalize().unwrap()
    );
    fs::write(&config, text).unwrap();
    let config = config.to_str().unwrap().to_owned();
    (place, config)
}

fn calls(place: &Place, config: &str) -> Vec<Ran> {
    let made = ["--profile", "reviewer", "--workspace", "code:src"];
    let scoped = ["--scope", "write:gen", "--name", "w"];
    let create =
        |args: &[&str]| place.run(&[&["--config", config, "worker", "create"], args].concat());
    let run = |args: &[&str]| place.run(&[&["--config", config, "run"], args].concat());
    let show = ["--config", config, "worker", "show", "w", "-o", "json"];
    let calls = vec![
        create(&[&made[..], &scoped, &["--dry-run"]].concat()),
        create(&[&made[..], &scoped, &["--dry-run", "-o", "json"]].concat()),
        create(&[&made[..], &scoped].concat()),
        create(&[&made[..], &["--scope", "write:gen/deeper", "--dry-run"]].concat()),
        create(&["--profile", "companion", "--dry-run"]),
        create(&["--profile", "poet", "--dry-run"]),
        create(&["--profile", "poet"]),
        create(&["--workspace", "nowhere:"]),
        create(&["--workspace", "code:../up", "--dry-run"]),
        create(&["--workspace", "code"]),
        create(&["--objective", "", "--dry-run"]),
        run(&["--workspace", "code:src", "--dry-run", "--", "pwd"]),
        run(&["--workspace", "code:src", "--name", "v", "--", "pwd"]),
    ];
    let view = place.run(&show).json();
    assert_eq!(view["profile"], "reviewer", "{view}");
    let workers = place.run(&["--config", config, "worker", "ls", "--all", "-o", "name"]);
    assert_eq!(
        workers.stdout.lines().count(),
        2,
        "a dry run made one: {workers}"
    );
    calls
        .into_iter()
        .map(|ran| ran.hide_typed(config, "config.toml"))
        .collect()
}

#[test]
fn what_the_configuration_names_can_be_asked_for_the_same_both_ways() {
    let (place, config) = configured();
    snapshot(&place, "made_of_stopped", &calls(&place, &config));
    let (place, config) = configured();
    let serving = Serving::with(&place, &["--bind", "127.0.0.1:0", "--config", &config]);
    let live = calls(&place, &config);
    serving.end();
    snapshot(&place, "made_of_live", &live);
}
