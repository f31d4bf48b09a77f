//! What an opening finds is recorded in commits of bounded size, before anything is served (I4, I9).

use worker_runtime_core::{
    EventType,
    run::{OutcomeKind, StopReason},
    store::BlockKind,
};

use crate::support::{Host, HostOptions, queued};

#[tokio::test]
async fn many_runs_are_given_their_outcome_in_several_commits() {
    let mut options = HostOptions::default();
    options.limits.batch_events_max = 4;
    options.limits.checkpoint_bytes = 1;
    let host = Host::with(options).await;
    let mut runs = Vec::new();
    for index in 0..9 {
        let worker_id = host.worker().await;
        let run = host.start(worker_id, "one").await;
        let block = run.sink.open_block(BlockKind::Text, None).unwrap();
        let text = format!("half of {index}");
        run.sink.append(block, &text).await.unwrap();
        host.send(worker_id, queued("two")).await;
        runs.push((worker_id, run, text));
    }
    let before = host.faults.commits();
    let host = host.crash().await;
    assert!(
        host.faults.commits() >= before + 4,
        "{} commits for 9 runs with 2 events each",
        host.faults.commits() - before
    );
    for (worker_id, run, text) in runs {
        drop(run);
        let stop = StopReason::RuntimeLost;
        host.ends(worker_id, "one", OutcomeKind::Interrupted, stop)
            .await;
        let block = host.until(worker_id, EventType::BLOCK_FINISHED).await;
        assert_eq!(block["text"], text);
        assert_eq!(block["marks"][0], "interrupted");
    }
    let host = host.crash().await;
    host.end().await;
}
