//! Commands that speak JSON lines, and the options that say how a command is talked to.

use std::fs;

use crate::{
    serving::Serving,
    support::{Place, is_alive, snapshot, until},
};

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
fn an_agent_that_is_killed_between_inputs_keeps_no_scope_in_use() {
    let place = place_with_agent();
    let server = Serving::start(&place);
    let script = "echo $$ > pid; exec sh agent.sh";
    let create = [
        "worker",
        "create",
        "--name",
        "agent",
        "--mode",
        "lines",
        "--scope",
        "write:src",
        "--",
        "sh",
        "-c",
        script,
    ];
    let run = |args: &[&str]| place.run(args);
    assert_eq!(run(&create).code, Some(0));
    let sent = run(&["worker", "send", "agent", "hello"]);
    assert_eq!(sent.code, Some(0), "{sent}");
    let shown = run(&["lock", "show", "agent"]);
    assert!(shown.stdout.contains("a process between runs"), "{shown}");
    let refused = run(&["lock", "release", "agent"]);
    assert!(refused.stderr.contains("WR-SCOPE-IN-USE"), "{refused}");
    let pid = fs::read_to_string(place.project().join("pid")).unwrap();
    assert!(is_alive(&pid));
    let killed = rustix::process::Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(killed, rustix::process::Signal::KILL).unwrap();
    let is_idle = || {
        let shown = run(&["lock", "show", "agent", "-o", "json"]).json();
        shown.get("has_process").is_none()
    };
    until("the Runtime knows that it is dead", is_idle);
    let released = run(&["lock", "release", "agent"]);
    assert_eq!(released.code, Some(0), "{released}");
    let rival = run(&["worker", "create", "--scope", "write:src"]);
    assert_eq!(rival.code, Some(0), "{rival}");
    // The next input finds it gone, and starts it again.
    let sent = run(&["worker", "send", "agent", "hello"]);
    assert!(sent.stdout.contains("hello"), "{sent}");
    server.end();
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

/// An agent that asks for a decision, and ends as the answer says.
const ASKS: &str = r#"
printf '{"type":"hello","protocol":1}\n'
read -r line
read -r line
run=${line#*'"run_id":"'}; run=${run%%'"'*}
printf '{"type":"action","run_id":"%s","action_id":"write","options":["allow","deny"],"time_ms":%s,"detail":{"path":"src"}}\n' "$run" "$1"
read -r line
case $line in
*'"lapsed":true'*) reason=lapsed ;;
*) reason=${line#*'"option":"'}; reason=${reason%%'"'*} ;;
esac
printf '{"type":"end","run_id":"%s","reason":"%s"}\n' "$run" "$reason"
read -r line
"#;

#[test]
fn what_a_run_asks_for_is_told_and_lapses_where_nobody_answers() {
    let place = Place::new();
    fs::write(place.project().join("asks.sh"), ASKS).unwrap();
    let run = [
        "run", "--name", "asks", "--mode", "lines", "--input", "go", "--", "sh", "asks.sh", "50",
    ];
    let ran = place.run(&run);
    assert_eq!(ran.code, Some(0), "{ran}");
    snapshot(&place, "action", &[ran]);
}

#[test]
fn a_user_at_a_terminal_answers() {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let place = Place::new();
    fs::write(place.project().join("asks.sh"), ASKS).unwrap();
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let mut options = fs::File::options();
    let user_side = options.read(true).write(true).open(name.to_str().unwrap());
    let user_side = user_side.unwrap();
    // The first line is no option; the second one is the number of one.
    rustix::io::write(&terminal, b"perhaps\n2\n").unwrap();
    let args = [
        "run", "--mode", "lines", "--input", "go", "-o", "table", "--", "sh", "asks.sh", "60000",
    ];
    let status = place
        .command(&args)
        .stdin(user_side.try_clone().unwrap())
        .stdout(std::process::Stdio::null())
        .stderr(user_side)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(0));
    let events = place.run(&["event", "ls", "sh", "-o", "jsonl"]).stdout;
    let answered = events
        .lines()
        .find(|line| line.contains("run.action_answered"));
    assert!(answered.unwrap().contains(r#""option":"deny""#), "{events}");
}

#[test]
fn the_exit_status_of_an_agent_that_died_is_told() {
    let place = Place::new();
    let script = r#"printf '{"type":"hello","protocol":1}\n'; read -r a; read -r b; exit 7"#;
    let run = [
        "run", "--mode", "lines", "--input", "go", "--", "sh", "-c", script,
    ];
    let ran = place.run(&run);
    assert_eq!(ran.code, Some(130), "{ran}");
    snapshot(&place, "agent_died", &[ran]);
}
