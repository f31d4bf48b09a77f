//! Records of a Worker that are lost: its id stays its own, and so does what it holds (I5, I6, I7).

use worker_runtime_core::{Code, WorkerId, run::StopReason, worker::CreateWorker};

use crate::support::{Host, Lost, assistant, input, scripted, write};

const ID: WorkerId = WorkerId::from_bytes([7; 16]);

#[tokio::test]
async fn an_id_whose_record_is_lost_is_not_used_again() {
    for (allocation, unfinished) in [(true, true), (false, true), (true, false), (false, false)] {
        let host = Host::open().await;
        let request = || CreateWorker {
            worker_id: Some(ID),
            scope: write("src"),
            ..scripted()
        };
        host.create(request()).await;
        let run = host.start(ID, "one").await;
        host.faults.lose(Lost {
            worker_id: ID,
            allocation,
            unfinished,
        });
        let host = host.crash().await;
        drop(run);
        for request in [
            request(),
            CreateWorker {
                worker_id: Some(ID),
                ..assistant()
            },
        ] {
            let error = host.runtime.catalog().create(request).await.unwrap_err();
            assert_eq!(error.code(), Code::WorkerDamaged, "{error}");
        }
        if !allocation {
            let other = CreateWorker {
                worker_id: None,
                ..request()
            };
            let error = host.runtime.catalog().create(other).await.unwrap_err();
            assert_eq!(error.code(), Code::ScopeConflict);
        }
        if !(allocation && unfinished) {
            let interaction = host.runtime.interaction();
            let error = interaction.send_input(ID, input("two")).await.unwrap_err();
            assert_eq!(error.code(), Code::WorkerDamaged);
            let found = host.runtime.management().diagnostics();
            assert_eq!(found[0].worker_id, Some(ID));
        }
        let other = host.worker().await;
        let run = host.start(other, "beside").await;
        run.sink.finish(StopReason::EndTurn, None).await.unwrap();
    }
}
