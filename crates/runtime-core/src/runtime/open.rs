//! Opening, in this order: prove the processes of unfinished runs dead; record the new incarnation and
//! their outcomes, in commits of bounded size; only then serve and dispatch. Scopes stay held until then (I6).

use std::{collections::HashMap, sync::Arc};

use tokio::{runtime::Handle, sync::mpsc};

use super::{
    Backends, LiveRuns,
    alarm::Alarm,
    failure::Failing,
    handle::{Inner, Runtime, RuntimeOptions},
    shared::Shared,
    sink::SinkPath,
    supervisor::{Supervisor, SupervisorParts, prove_dead},
    writer::{EndsNews, StoreTime, Writer},
};
use crate::{
    Generation, WorkerId,
    error::{OpenError, Unavailable},
    record::Lifecycle,
    state::{Dispatch, Now, ProvenWorker, State, Surroundings, partial_blocks},
    store::{Loaded, Store, StoreError},
    sync::{self, Mutex},
};

/// The version that events tell.
const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(super) async fn open(
    mut store: Box<dyn Store>,
    options: RuntimeOptions,
) -> Result<Runtime, OpenError> {
    let RuntimeOptions {
        backends,
        mounts,
        profiles,
        secrets,
        limits,
        dispatch,
        clock,
        mut entropy,
    } = options;
    let backends = Arc::new(Backends::new(backends)?);
    let limits = Arc::new(limits);
    let live = Arc::new(LiveRuns::new(limits.clone()));
    let reader = store.reader();
    let loaded = store.load()?;
    let proven = prove_all(loaded.clone(), backends.clone()).await?;
    let mut seed = [0; 8];
    entropy.fill(&mut seed);
    let caller_entropy = crate::SeededEntropy::new(u64::from_le_bytes(seed));

    let time = StoreTime::start(&*clock, loaded.at);
    let around = Surroundings {
        reader: reader.clone(),
        backends: backends.clone(),
        live: live.clone(),
        limits: limits.clone(),
    };
    let mut state = State::new(loaded.clone(), Dispatch::None, around, entropy);
    state.set_now(Now {
        at: time.at(clock.monotonic()),
    });
    recover(&mut state, &mut store, loaded.went_back, proven)?;
    state.begin_leases();

    let shared = Arc::new(Shared::new(
        loaded,
        reader,
        backends.clone(),
        live.clone(),
        limits.clone(),
        true,
    ));
    shared.publish_all(&state);
    state.dispatch = dispatch;
    let (commands, queue) = mpsc::channel(limits.queue_len_max);
    let alarm = Arc::new(Alarm::default());
    let mounts = Arc::new(mounts);
    let path = SinkPath {
        writer: commands.clone(),
        live,
        limits,
        clock: clock.clone(),
        alarm: alarm.clone(),
        handle: Handle::current(),
        shared: shared.clone(),
        mounts: mounts.clone(),
    };
    let parts = SupervisorParts {
        path,
        backends,
        secrets,
        mounts: mounts.clone(),
        shared: shared.clone(),
    };
    let mut writer = Writer {
        _ends: EndsNews(shared.clone()),
        state,
        store,
        commands: queue,
        shared: shared.clone(),
        supervisor: Supervisor::new(parts),
        clock: clock.clone(),
        alarm: alarm.clone(),
        time,
        answers: Vec::new(),
        closing: None,
        spoiled: None,
        failing: Failing::default(),
        active_at: Some(clock.monotonic()),
    };
    alarm.wake_at(clock.monotonic().saturating_add(shared.limits.idle_after));
    sync::spawn(alarm.run(clock.clone(), commands.clone()));
    let thread = sync::thread::Builder::new()
        .name("worker-runtime-writer".into())
        .spawn(move || {
            writer.begin();
            writer.run();
        });
    Ok(Runtime::new(Inner {
        shared,
        commands,
        mounts,
        profiles,
        clock,
        entropy: Mutex::new(Box::new(caller_entropy)),
        thread: Mutex::new(Some(thread.map_err(OpenError::Thread)?)),
    }))
}

/// Gives every run of an earlier incarnation its outcome, in commits of bounded size. When it ends in
/// the middle, the next opening goes on with what is left.
fn recover(
    state: &mut State,
    store: &mut Box<dyn Store>,
    went_back: Option<crate::store::WentBack>,
    proven: Vec<ProvenWorker>,
) -> Result<(), OpenError> {
    let around = state.around.clone();
    state.recover_start(went_back, VERSION)?;
    for worker in proven {
        // Read one by one: output that was checkpointed is not all in memory at a time.
        let partial = match worker.generation {
            Some(generation) => partial_blocks(worker.worker_id, generation, &*around.reader)?,
            None => Vec::new(),
        };
        state.recover_worker(worker, partial)?;
        let limits = &around.limits;
        if state.batch_bytes >= limits.batch_bytes_max
            || state.batch.events.len() >= limits.batch_events_max
        {
            commit(state, store)?;
        }
    }
    state.recover_damaged_inputs()?;
    commit(state, store)
}

fn commit(state: &mut State, store: &mut Box<dyn Store>) -> Result<(), OpenError> {
    state.batch.must_happen = true;
    let (batch, _effects, _touched) = state.take_batch();
    match store.commit(&batch) {
        Ok(()) => {
            state.around.live.forget_closed();
            Ok(())
        }
        Err(StoreError::Full { .. }) => Err(OpenError::Recovery(Unavailable::StorageFull)),
        Err(error) => Err(error.into()),
    }
}

/// Looks after everything that an earlier incarnation left running: Workers with processes, and
/// Workers with a run.
async fn prove_all(
    loaded: Loaded,
    backends: Arc<Backends>,
) -> Result<Vec<ProvenWorker>, OpenError> {
    let prove = move || {
        let running: HashMap<WorkerId, Generation> = loaded
            .unfinished
            .iter()
            .filter_map(|unfinished| {
                Some((unfinished.worker_id, unfinished.run.as_ref()?.generation))
            })
            .collect();
        let left = loaded.workers.iter().filter(|worker| {
            !worker.processes.is_empty()
                || worker.unproven.is_some()
                // Its end was asked for, and nobody is left who could say that all is quiet.
                || (worker.ending.is_some() && worker.lifecycle == Lifecycle::Active)
                || running.contains_key(&worker.worker_id)
        });
        left.map(|worker| {
            let generation = running.get(&worker.worker_id).copied();
            ProvenWorker {
                worker_id: worker.worker_id,
                proof: prove_dead(worker, &backends, |_| true),
                generation,
            }
        })
        .collect()
    };
    let proven = sync::spawn_blocking(prove).await;
    proven.map_err(|error| {
        let invariant = format!("proving processes dead failed: {error}");
        StoreError::Bug { invariant }.into()
    })
}
