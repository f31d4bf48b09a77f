//! A stream that outlives its Runtime keeps the store's memory and file open, and leaves its reader
//! waiting for ever.

use super::*;
use crate::{backend::Hold, host::Host};

#[tokio::test]
async fn a_subscribers_stream_ends_with_its_runtime() {
    let dir = tempfile::tempdir().unwrap();
    let (backend, _held) = Hold::new();
    let host = Host::open(dir.path(), backend).await.unwrap();
    let subscriber = Subscriber::attach(&host.runtime, false).unwrap();
    let worker = host.create_workers(1, Hold::NAME).await.unwrap();
    subscriber.reach(host.position()).await.unwrap();
    host.runtime.close().await.unwrap();
    let seen = subscriber.finish().await.unwrap();
    let created = seen.last().unwrap().worker;
    assert_eq!(
        created.map(|(worker_id, _)| worker_id),
        worker.first().copied()
    );
}
