//! Cancels, stops, pauses and ends that meet each other on several threads: whatever the order,
//! each input has one outcome, and nothing is left behind.

use std::sync::Arc;

use worker_runtime_core::record::Lifecycle;
use worker_runtime_core::{
    EndOptions, Entropy, SeededEntropy, WorkerId, run::StopReason, worker::CreateWorker,
};

use crate::support::{Host, Script, queued, scripted, within, write};

const WORKERS: usize = 4;
const STEPS: usize = 200;

struct Random(SeededEntropy);

impl Random {
    fn below(&mut self, count: u8) -> usize {
        let mut byte = [0];
        self.0.fill(&mut byte);
        usize::from(byte[0] % count)
    }
}

/// Ends each run at once, later, or not by itself.
async fn play(script: Script, seed: u64) {
    let mut random = Random(SeededEntropy::new(seed));
    let mut kept = Vec::new();
    loop {
        let run = script.run().await;
        match random.below(4) {
            0 => drop(run),
            1 => drop(tokio::spawn(async move {
                let _ = run.sink.finish(StopReason::EndTurn, None).await;
            })),
            2 => drop(tokio::spawn(async move {
                tokio::task::yield_now().await;
                let _ = run.sink.finish(StopReason::Refusal, None).await;
            })),
            _ => kept.push(run),
        }
    }
}

async fn step(host: &Host, worker_id: WorkerId, random: &mut Random, id: String) -> bool {
    let (catalog, interaction) = (host.runtime.catalog(), host.runtime.interaction());
    match random.below(8) {
        0..=2 => return interaction.send_input(worker_id, queued(&id)).await.is_ok(),
        3 | 4 => {
            // What runs now may have ended before this arrives.
            if let Some(run_id) = host.view(worker_id).activity.run_id {
                let _ = interaction.cancel_run(worker_id, run_id).await;
            }
        }
        5 => drop(catalog.pause(worker_id).await),
        6 => drop(catalog.resume(worker_id).await),
        _ => {
            host.runtime.management().stop(None).await.unwrap();
            host.runtime.management().start().await.unwrap();
        }
    }
    false
}

async fn race(seed: u64) {
    println!("seed {seed}");
    let host = Arc::new(Host::open().await);
    let player = tokio::spawn(play(host.script.clone(), seed));
    let mut tasks = Vec::new();
    for index in 0..WORKERS {
        let scope = write(&format!("part{index}"));
        let request = CreateWorker {
            scope,
            ..scripted()
        };
        let worker_id = host.create(request).await;
        let host = host.clone();
        let mut random = Random(SeededEntropy::new(seed ^ index as u64 ^ 0xAA));
        tasks.push(tokio::spawn(async move {
            let mut accepted = Vec::new();
            for number in 0..STEPS {
                let id = format!("{number}");
                if step(&host, worker_id, &mut random, id.clone()).await {
                    accepted.push(id);
                }
            }
            (worker_id, accepted)
        }));
    }
    let mut workers = Vec::new();
    for task in tasks {
        workers.push(within("the steps of a Worker", task).await.unwrap());
    }
    for (worker_id, accepted) in workers {
        let catalog = host.runtime.catalog();
        catalog
            .stop(worker_id, EndOptions::default())
            .await
            .unwrap();
        for id in accepted {
            host.outcome(worker_id, &id).await;
        }
        let ended = async {
            while host.view(worker_id).lifecycle != Lifecycle::Stopped {
                tokio::task::yield_now().await;
            }
        };
        within("the end of a Worker", ended).await;
        catalog.restore(worker_id).await.unwrap();
    }
    let status = host.runtime.management().status();
    assert_eq!((status.busy, status.queued), (0, 0), "seed {seed}");
    player.abort();
    let _ = player.await;
    Arc::into_inner(host).unwrap().end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn whatever_meets_each_input_has_one_outcome_and_each_worker_ends() {
    for seed in 0..3 {
        race(seed).await;
    }
}
