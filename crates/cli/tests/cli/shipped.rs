//! The faults that the fault harness is judged by are not in the program that is shipped: no word of the
//! switch that chooses one, and no name of any.

use std::fs;

use worker_runtime_core::sabotage::Sabotage;

const SWITCH: &str = "WORKER_RUNTIME_SABOTAGE";

fn program_has(text: &str) -> bool {
    let program = fs::read(env!("CARGO_BIN_EXE_worker-runtime")).unwrap();
    let mut windows = program.windows(text.len());
    windows.any(|window| window == text.as_bytes())
}

#[cfg(not(worker_runtime_sabotage))]
#[test]
fn the_program_has_no_trace_of_the_faults_put_in_on_purpose() {
    assert!(!program_has(SWITCH));
    for fault in Sabotage::ALL {
        assert!(!program_has(fault.name()), "{} is in it", fault.name());
    }
}

/// What the test above looks for would be found if it were there.
#[cfg(worker_runtime_sabotage)]
#[test]
fn the_program_made_to_judge_the_harness_has_the_switch() {
    assert!(program_has(SWITCH));
    assert!(Sabotage::ALL.iter().all(|fault| program_has(fault.name())));
}
