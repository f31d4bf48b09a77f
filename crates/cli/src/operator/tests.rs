use super::*;

const KNOWN: &str = "root:x:0:0:root:/root:/bin/bash\n\
    # a line that is none\n\
    :x:7:7::/:/bin/false\n\
    ana:x:1000:1000:Ana,,,:/home/ana:/bin/bash\n";

#[test]
fn a_user_goes_by_the_name_that_the_system_has_or_by_the_number() {
    assert_eq!(name_of(0, KNOWN), "root");
    assert_eq!(name_of(1_000, KNOWN), "ana");
    assert_eq!(name_of(1_001, KNOWN), "uid 1001");
    assert_eq!(name_of(7, KNOWN), "uid 7", "a name of nothing");
    assert_eq!(name_of(7, ""), "uid 7");
}

#[test]
fn whoever_runs_this_has_a_name_that_the_runtime_takes() {
    let Operator::User { name, pid } = operator() else {
        panic!("a command is run by a user");
    };
    assert!(!name.is_empty() && !name.contains(char::is_control));
    assert_eq!(pid, process::id());
}
