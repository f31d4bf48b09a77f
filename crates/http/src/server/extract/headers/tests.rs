//! Tags as RFC 9110 has them, and what is none.

use super::*;

fn parsed(values: &[&[u8]]) -> Result<Option<Tags>, Refusal> {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(header::IF_MATCH, HeaderValue::from_bytes(value).unwrap());
    }
    tags(&headers, Header::IfMatch)
}

#[test]
fn strong_tags_match_strongly_and_weak_ones_only_weakly() {
    let tags = parsed(&[b"\"a\", W/\"b\""]).unwrap().unwrap();
    assert!(tags.have_strongly("a") && tags.have_weakly("a"));
    assert!(!tags.have_strongly("b") && tags.have_weakly("b"));
    assert!(!tags.have_strongly("c") && !tags.have_weakly("c"));
}

#[test]
fn several_headers_are_one_list_and_a_comma_may_be_in_a_tag() {
    let tags = parsed(&[b"\"a,b\" ,, \"\"", b",\"c\xff\""])
        .unwrap()
        .unwrap();
    for tag in ["a,b", ""] {
        assert!(tags.have_strongly(tag), "{tag:?}");
    }
    assert!(!tags.have_weakly("a") && !tags.have_weakly("b"));
    assert_eq!(parsed(&[b" * "]).unwrap(), Some(Tags::Any));
    assert_eq!(parsed(&[]).unwrap(), None);
}

#[test]
fn what_is_no_list_of_tags_is_refused() {
    let wrong: [&[&[u8]]; 12] = [
        &[b""],
        &[b","],
        &[b"a"],
        &[b"\"a"],
        &[b"a\""],
        &[b"w/\"a\""],
        &[b"W/"],
        &[b"\"a\" \"b\""],
        &[b"\"a b\""],
        &[b"*, \"a\""],
        &[b"*", b"*"],
        &[b"\"a\"", b"x"],
    ];
    for values in wrong {
        assert!(parsed(values).is_err(), "{values:?}");
    }
}
