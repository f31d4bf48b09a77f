use worker_runtime_core::{
    BlockId, Delta, DeltaOp, Generation, Position, RunId, WorkerId, store::BlockKind,
};

use super::Blocks;

const BLOCK: BlockId = BlockId {
    generation: Generation(1),
    index: 0,
};

fn delta(op: DeltaOp) -> Delta {
    Delta {
        worker_id: WorkerId::from_bytes([0; 16]),
        run_id: RunId::from_bytes([0; 16]),
        block: BLOCK,
        kind: BlockKind::Text,
        parent: None,
        after: Position(0),
        op,
    }
}

fn append(offset_bytes: u64, text: &str) -> Delta {
    delta(DeltaOp::Append {
        offset_bytes,
        text: text.to_owned(),
    })
}

fn replace(text: &str) -> Delta {
    delta(DeltaOp::Replace {
        text: text.to_owned(),
    })
}

#[test]
fn a_block_is_printed_once_although_it_comes_twice() {
    let mut blocks = Blocks::default();
    assert_eq!(blocks.preview(&append(0, "hel")), "hel");
    assert_eq!(blocks.preview(&append(3, "lo")), "lo");
    assert_eq!(blocks.finished(BLOCK, "hello\n"), "\n");
}

#[test]
fn a_preview_that_overlaps_adds_only_what_is_new() {
    let mut blocks = Blocks::default();
    assert_eq!(blocks.preview(&append(0, "hel")), "hel");
    assert_eq!(blocks.preview(&append(0, "hello")), "lo");
    assert_eq!(blocks.preview(&append(2, "l")), "");
    assert_eq!(blocks.preview(&replace("hello!")), "!");
}

#[test]
fn a_preview_after_one_that_was_missed_waits_for_the_end() {
    let mut blocks = Blocks::default();
    assert_eq!(blocks.preview(&append(0, "a")), "a");
    assert_eq!(blocks.preview(&append(5, "f")), "");
    assert_eq!(blocks.finished(BLOCK, "abcdef"), "bcdef");
}

#[test]
fn a_text_that_became_another_one_is_printed_anew_at_the_end() {
    let mut blocks = Blocks::default();
    assert_eq!(blocks.preview(&append(0, "hello")), "hello");
    assert_eq!(blocks.preview(&replace("bye")), "");
    assert_eq!(blocks.finished(BLOCK, "bye now"), "\nbye now");
}

#[test]
fn a_block_that_was_never_previewed_is_printed_whole() {
    assert_eq!(Blocks::default().finished(BLOCK, "all"), "all");
}

#[test]
fn a_preview_that_comes_after_the_end_adds_nothing() {
    let mut blocks = Blocks::default();
    assert_eq!(blocks.finished(BLOCK, "hello"), "hello");
    assert_eq!(blocks.preview(&append(0, "hello")), "");
    assert_eq!(blocks.preview(&replace("hello!")), "");
}
