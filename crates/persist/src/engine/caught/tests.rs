use super::{caught, holds_panics};

#[test]
fn a_panic_is_told_as_an_error_and_a_hook_knows_that_it_is_held() {
    assert!(!holds_panics());
    let held = caught(|| {
        assert!(holds_panics());
        assert_eq!(caught(|| 1), Ok(1));
        assert!(holds_panics(), "the outer call still holds");
        panic!("page {} is torn", 7);
    });
    assert_eq!(
        held,
        Err::<(), _>("the engine stopped at what it read: page 7 is torn".to_owned())
    );
    assert!(!holds_panics());
}

#[test]
fn a_panic_of_another_thread_is_not_held() {
    let elsewhere = caught(|| std::thread::spawn(holds_panics).join());
    assert!(matches!(elsewhere, Ok(Ok(false))));
}
