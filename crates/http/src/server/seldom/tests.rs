use super::*;

#[test]
fn the_first_is_told_at_once_and_the_others_with_their_number() {
    let (every, began) = (Duration::from_secs(30), Instant::now());
    let mut seldom = Seldom::new(every);
    assert_eq!(seldom.happened(began), Some(1));
    for count in 1..20 {
        assert_eq!(seldom.happened(began + Duration::from_secs(count)), None);
    }
    assert_eq!(seldom.happened(began + every), Some(20));
    assert_eq!(seldom.happened(began + every), None);
}
