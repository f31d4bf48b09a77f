//! A block that grows at a server is printed while it does: nothing of it was shown until it ended.

use std::fs;

use crate::{
    serving::Serving,
    support::{Place, Running, until},
};

/// Says half a block, and the rest when it may.
const HALVES: &str = r#"
printf '{"type":"hello","protocol":1}\n'
read -r line
read -r line
run=${line#*'"run_id":"'}; run=${run%%'"'*}
printf '{"type":"block_start","run_id":"%s","block":"1","kind":"text"}\n' "$run"
printf '{"type":"delta","run_id":"%s","block":"1","text":"one half\\nand "}\n' "$run"
until [ -e gate ]; do sleep 0.02; done
printf '{"type":"delta","run_id":"%s","block":"1","text":"the other\\n"}\n' "$run"
printf '{"type":"block_end","run_id":"%s","block":"1"}\n' "$run"
printf '{"type":"block_start","run_id":"%s","block":"2","kind":"text"}\n' "$run"
printf '{"type":"delta","run_id":"%s","block":"2","text":"a second\\n"}\n' "$run"
printf '{"type":"block_end","run_id":"%s","block":"2"}\n' "$run"
printf '{"type":"end","run_id":"%s","reason":"end_turn"}\n' "$run"
read -r line
"#;

#[test]
fn a_block_at_a_server_is_printed_as_it_grows_and_once() {
    let place = Place::new();
    let server = Serving::start(&place);
    fs::write(place.project().join("halves.sh"), HALVES).unwrap();
    let run = [
        "run",
        "--name",
        "w",
        "--mode",
        "lines",
        "--input",
        "go",
        "--",
        "sh",
        "halves.sh",
    ];
    let mut running = Running::start(&place, &run);
    // The block can't end before the gate is open.
    assert_eq!(running.line(), "one half");
    let mut looking = Running::start(&place, &["worker", "attach", "w"]);
    assert_eq!(looking.line(), "one half");
    fs::write(place.project().join("gate"), "").unwrap();
    for running in [running, looking] {
        let (code, rest, stderr) = running.wait();
        assert_eq!(code, Some(0), "{stderr}");
        assert_eq!(rest, ["and the other", "a second"], "{stderr}");
    }
    server.end();
}

#[test]
fn what_a_lost_run_had_said_is_printed_from_its_store() {
    let place = Place::new();
    let server = Serving::start(&place);
    fs::write(place.project().join("halves.sh"), HALVES).unwrap();
    let run = [
        "run",
        "--name",
        "w",
        "--mode",
        "lines",
        "--input",
        "go",
        "--",
        "sh",
        "halves.sh",
    ];
    let mut running = Running::start(&place, &run);
    assert_eq!(running.line(), "one half");
    until("it is kept", || {
        let kept = place.run(&["transcript", "show", "w", "-o", "json"]);
        kept.stdout.contains("one half")
    });
    server.kill();
    let (code, rest, stderr) = running.wait();
    assert_eq!(code, Some(75), "{stderr}");
    assert_eq!(rest, ["and "], "{stderr}");
}
