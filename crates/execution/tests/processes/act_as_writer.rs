//! A command that touches what its input names, and says what the system answered to each.
//!
//! A line of the input is `DEPTH STEP PATH [PATH]`: it is done by the process that lies so many
//! generations below the command. The answer is the line and `ok`, or the number of the error.

use std::{
    fs,
    fs::OpenOptions,
    io::{self, BufRead as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, symlink},
    process::{Command, ExitCode},
};

pub(crate) const ROLE: &str = "act-as-writer";

pub(crate) fn run() -> ExitCode {
    let mut words = std::env::args().skip(2);
    let line = match words.next() {
        // A descendant: one line, as its arguments.
        Some(depth) => {
            let rest: Vec<String> = words.collect();
            return at_depth(&depth, &rest.join(" "));
        }
        None => io::stdin().lock(),
    };
    for line in line.lines().map(Result::unwrap) {
        let (depth, step) = line.split_once(' ').unwrap();
        at_depth(depth, step);
    }
    ExitCode::SUCCESS
}

fn at_depth(depth: &str, step: &str) -> ExitCode {
    let depth: u32 = depth.parse().unwrap();
    if depth > 0 {
        let mut child = Command::new("/proc/self/exe");
        child
            .arg(ROLE)
            .arg((depth - 1).to_string())
            .args(step.split(' '));
        assert!(child.status().unwrap().success());
        return ExitCode::SUCCESS;
    }
    let answer = match perform(step) {
        Ok(()) => "ok".to_owned(),
        Err(error) => error.raw_os_error().unwrap().to_string(),
    };
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{step} {answer}").unwrap();
    stdout.flush().unwrap();
    ExitCode::SUCCESS
}

fn perform(step: &str) -> io::Result<()> {
    let mut words = step.split(' ');
    let mut next = || words.next().unwrap_or_default();
    let (what, path) = (next(), next());
    match what {
        "make" => OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(path)
            .map(drop),
        "write" => OpenOptions::new().append(true).open(path)?.write_all(b"x"),
        "read" => fs::read(path).map(drop),
        // Takes no right to write but this one.
        "truncate" => {
            let flags = rustix::fs::OFlags::TRUNC.bits();
            let flags = i32::try_from(flags).unwrap();
            OpenOptions::new()
                .read(true)
                .custom_flags(flags)
                .open(path)
                .map(drop)
        }
        "mkdir" => fs::create_dir(path),
        "rmdir" => fs::remove_dir(path),
        "remove" => fs::remove_file(path),
        "rename" => fs::rename(path, next()),
        "link" => fs::hard_link(path, next()),
        "symlink" => symlink(path, next()),
        other => panic!("no step {other}"),
    }
}
