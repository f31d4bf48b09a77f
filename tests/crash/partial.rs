//! Output of a run that is killed is kept as far as it was checkpointed, and marked; a reader of the
//! stopped store sees what the next opening keeps.

use worker_runtime_core::{
    InputId, Observation, TranscriptFrom, WorkerId, input::SubmitInput, limits::Limits,
    open_read_only, view::TranscriptPage,
};

use super::place::{Place, shell};

/// More than a pipe and all buffers hold, less than one block.
const LINES: usize = 2_400;
const FILLING: &str =
    "--------------------------------------------------------------------------------";
/// What can be on the way when the command has written everything: the pipe, one read of it, and
/// what waits for its checkpoint.
const UNDER_WAY_BYTES: usize = (64 + 16 + 16) << 10;

fn script() -> String {
    format!(
        r#"read -r id; n=0
        while [ $n -lt {LINES} ]; do n=$((n+1)); echo "$n {FILLING}"; done
        echo "$id" > "$SIDE/$id"; sleep 1000; :"#
    )
}

fn whole() -> String {
    (1..=LINES).map(|n| format!("{n} {FILLING}\n")).collect()
}

fn transcript(place: &Place, worker_id: WorkerId) -> TranscriptPage {
    let store = place.read();
    let (loaded, reader) = (store.load().unwrap(), store.reader());
    let observation: Observation =
        open_read_only(loaded, reader, Vec::new(), Limits::default()).unwrap();
    observation
        .transcript(worker_id, TranscriptFrom::End, 10)
        .unwrap()
}

#[test]
fn output_that_was_checkpointed_survives_a_kill_and_is_marked() {
    let place = Place::new();
    let mut host = place.serve();
    let worker_id = host.create(shell(&script(), 100));
    let input = SubmitInput::text("one").with_id(InputId::new("one").unwrap());
    host.send(worker_id, input);
    place.until_noted("one");
    host.kill();

    let whole = whole();
    let read = transcript(&place, worker_id);
    let [unfinished] = read.unfinished.as_slice() else {
        panic!("{:?}", read.unfinished);
    };
    assert!(whole.starts_with(&unfinished.text));
    assert_eq!(unfinished.offset_bytes, unfinished.text.len() as u64);
    let least_bytes = whole.len() - UNDER_WAY_BYTES;
    assert!(
        unfinished.text.len() >= least_bytes,
        "{} bytes of {least_bytes} are there",
        unfinished.text.len()
    );

    let mut host = place.serve();
    let finished = host.until(worker_id, "run.finished", Some("one"));
    assert_eq!(finished["outcome"]["kind"], "interrupted");
    assert_eq!(finished["outcome"]["stop"]["type"], "runtime_lost");
    assert!(host.terminate().success());
    let kept = transcript(&place, worker_id);
    assert_eq!(kept.unfinished, []);
    let block = kept.items.iter().find(|item| item.kind == "text").unwrap();
    assert_eq!(block.text, unfinished.text);
    assert_eq!(block.marks, ["interrupted"]);
}
