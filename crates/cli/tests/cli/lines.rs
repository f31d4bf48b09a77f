//! Commands that speak JSON lines, and the options that say how a command is talked to.

use std::fs;

use crate::support::{Place, snapshot};

/// An agent that counts its turns and takes its conversation up again by the number of the last one.
const AGENT: &str = r#"
turn=0
printf '{"type":"hello","protocol":1,"resume":true}\n'
read -r line
case $line in *'"resume":"'*)
    turn=${line#*'"resume":"'}; turn=${turn%%'"'*}
    printf '{"type":"restored","outcome":"restored"}\n' ;;
esac
while read -r line; do
    case $line in *'"type":"shutdown"'*) exit 0 ;; esac
    run=${line#*'"run_id":"'}; run=${run%%'"'*}
    text=${line#*'"text":"'}; text=${text%%'"'*}
    turn=$((turn + 1))
    printf '{"type":"block_start","run_id":"%s","block":"1","kind":"text"}\n' "$run"
    printf '{"type":"delta","run_id":"%s","block":"1","text":"turn %s: %s\\n"}\n' "$run" "$turn" "$text"
    printf '{"type":"block_end","run_id":"%s","block":"1"}\n' "$run"
    printf '{"type":"resume","run_id":"%s","reference":"%s"}\n' "$run" "$turn"
    printf '{"type":"end","run_id":"%s","reason":"end_turn"}\n' "$run"
done
"#;

fn place_with_agent() -> Place {
    let place = Place::new();
    fs::write(place.project().join("agent.sh"), AGENT).unwrap();
    place
}

#[test]
fn an_agent_in_lines_mode_takes_its_conversation_up_with_each_send() {
    let place = place_with_agent();
    let calls = [
        place.run(&[
            "worker", "create", "--name", "agent", "--mode", "lines", "--", "sh", "agent.sh",
        ]),
        place.run(&["worker", "send", "agent", "hello"]),
        place.run(&["worker", "send", "agent", "still there?"]),
        place.run(&["transcript", "show", "agent"]),
    ];
    assert_eq!(calls[2].stdout, "turn 2: still there?\n", "{}", calls[2]);
    snapshot(&place, "lines", &calls);
}

#[test]
fn a_run_in_lines_mode_needs_its_input() {
    let place = place_with_agent();
    let run = ["run", "--mode", "lines", "--", "sh", "agent.sh"];
    let refused = place.run(&run);
    assert_eq!(refused.code, Some(2), "{refused}");
    assert!(!place.state().exists());
    let mut with_input = run.to_vec();
    with_input.splice(1..1, ["--input", "hi"]);
    let ran = place.run(&with_input);
    assert_eq!(ran.stdout, "turn 1: hi\n", "{ran}");
    assert_eq!(ran.code, Some(0), "{ran}");
}

#[test]
fn the_whole_configuration_can_come_from_a_file_or_standard_input() {
    let place = place_with_agent();
    let config = r#"{"argv": ["sh", "agent.sh"], "mode": "lines", "term_grace_ms": 100}"#;
    fs::write(place.project().join("agent.json"), config).unwrap();
    let file = ["run", "--backend-config", "agent.json", "--input", "hi"];
    let ran = place.run(&file);
    assert_eq!(ran.stdout, "turn 1: hi\n", "{ran}");
    let stdin = ["worker", "create", "--backend-config", "-", "-o", "name"];
    let ran = place.run_with_input(&stdin, config);
    assert_eq!(ran.code, Some(0), "{ran}");
    let calls = [
        place.run_with_input(&stdin, r#"{"argv": ["cat"], "mode": "verse"}"#),
        place.run_with_input(&stdin, r#"["cat"]"#),
        place.run(&["worker", "create", "--backend-config", "missing.json"]),
        place.run(&[
            "worker",
            "create",
            "--backend-config",
            "agent.json",
            "--",
            "cat",
        ]),
        place.run_with_input(&["run", "--backend-config", "-", "--input", "-"], config),
        place.run(&[
            "worker",
            "create",
            "--mode",
            "lines",
            "--input-as",
            "stdin",
            "--",
            "cat",
        ]),
    ];
    assert!(calls.iter().all(|ran| ran.code == Some(2)));
    snapshot(&place, "backend_config", &calls);
}

#[test]
fn a_variable_is_passed_through_or_set() {
    let place = Place::new();
    let script = r#"echo "$SET, $PASSED, ${OTHER-none}""#;
    let args = [
        "run",
        "--env",
        "SET=a=b",
        "--env",
        "PASSED",
        "--term-grace",
        "100ms",
        "--",
        "sh",
        "-c",
        script,
    ];
    let mut command = place.command(&args);
    command.env("PASSED", "host").env("OTHER", "host");
    let output = command.output().unwrap();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "a=b, host, none\n"
    );
}
