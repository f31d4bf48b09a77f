use super::means;

const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

fn is_meant(text: &str, name: Option<&str>) -> bool {
    means(text, ID.parse().unwrap(), name)
}

#[test]
fn the_first_digits_of_an_id_mean_it_with_and_without_hyphens() {
    assert!(is_meant("01890a5d", None));
    assert!(is_meant("01890a5d-ac9", None));
    assert!(is_meant("01890A5DAC96774B", None));
    assert!(!is_meant("01890a5", None), "too short to be meant as an id");
    assert!(!is_meant("01890a5e", None));
}

#[test]
fn a_name_is_meant_only_as_a_whole() {
    assert!(is_meant("builder", Some("builder")));
    assert!(!is_meant("build", Some("builder")));
    assert!(!is_meant("", None));
}
