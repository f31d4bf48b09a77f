use std::time::Instant;

use super::*;

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

#[tokio::test(flavor = "current_thread")]
async fn a_process_that_takes_too_long_goes_with_everything_that_it_started() {
    let mut told = Vec::new();
    let mut command = shell("sleep 300 & echo $! >&2; wait");
    let ended = run(&mut command, Some(Duration::from_millis(500)), |line| {
        told.push(line.to_owned());
    });
    assert!(matches!(ended.await.unwrap(), Ended::TooLate));
    let pid: i32 = told[0].parse().unwrap();
    let started = Instant::now();
    // Gone, or a zombie that its new parent has not reaped yet.
    let lives = || match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => !stat.contains(") Z "),
        Err(_) => false,
    };
    while lives() {
        assert!(started.elapsed() < Duration::from_secs(10), "it lives on");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "current_thread")]
async fn what_a_process_leaves_behind_does_not_keep_its_end_from_being_seen() {
    let mut told = Vec::new();
    let mut command = shell("sleep 300 & echo $! >&2; exit 3");
    let within = Some(Duration::from_secs(60));
    let ended = run(&mut command, within, |line| told.push(line.to_owned())).await;
    // It would hold our own stdout, and whoever waits for the end of that.
    if let Some(left) = told
        .first()
        .and_then(|pid| Pid::from_raw(pid.parse().unwrap()))
    {
        rustix::process::kill_process(left, Signal::KILL).unwrap();
    }
    match ended.unwrap() {
        Ended::With(status) => assert_eq!(status.code(), Some(3)),
        Ended::TooLate => panic!("it was waited for what it had left behind"),
    }
}
