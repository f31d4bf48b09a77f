//! Opens store and Runtime the way an embedder does.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use worker_runtime_core::{Mounts, Runtime, RuntimeOptions};
use worker_runtime_execution::exec::{ExecFactory, ExecOptions, HostEnvironment};
use worker_runtime_persist::{FileOptions, FileStore, StoreOptions};

use crate::order::{MOUNT, Order, ROUND_VARIABLE, SIDE_VARIABLE, Said, TAG_VARIABLE};

/// Opens them, or tells what an operator would be told.
pub(crate) async fn open(order: &Order) -> Result<Runtime, Said> {
    let failed = |code: &str, message: String| Said::Failed {
        code: code.to_owned(),
        message,
    };
    let store = FileStore::open(&order.state, store_options(order))
        .map_err(|error| failed(error.code().as_str(), error.to_string()))?;
    let mut mounts = Mounts::default();
    mounts
        .set(MOUNT, &order.side)
        .map_err(|error| failed("mount", error.to_string()))?;
    let options = RuntimeOptions {
        backends: vec![Arc::new(ExecFactory::new(exec_options(order)))],
        mounts,
        ..RuntimeOptions::default()
    };
    Runtime::open(Box::new(store), options)
        .await
        .map_err(|error| failed("runtime", error.to_string()))
}

/// Small limits, so that packs are written and the log is bounded within a test's time.
fn store_options(order: &Order) -> FileOptions {
    let default = FileOptions::default();
    FileOptions {
        ballast_bytes: order.ballast_bytes.unwrap_or(default.ballast_bytes),
        store: StoreOptions {
            cache_bytes: 16 << 20,
            tails_bytes_max: 256 << 10,
            log_window_bytes: 1 << 20,
            ..StoreOptions::file()
        },
        ..default
    }
}

fn exec_options(order: &Order) -> ExecOptions {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let environment = BTreeMap::from([
        ("PATH".to_owned(), path),
        (TAG_VARIABLE.to_owned(), order.tag.clone().into()),
        (ROUND_VARIABLE.to_owned(), order.round.to_string().into()),
        (SIDE_VARIABLE.to_owned(), order.side.clone().into()),
    ]);
    ExecOptions {
        env_allow: environment.keys().cloned().collect(),
        environment: HostEnvironment::Fixed(environment),
        directory: order.side.clone(),
        leftover_grace: Duration::from_millis(100),
        ..ExecOptions::default()
    }
}
