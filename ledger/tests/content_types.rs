//! Which decoder a body gets: by `Content-Type`, never by a guess.

use ledger::codec::{CONTENT_TYPE_BINCODE, CONTENT_TYPE_JSON, binary, decode_command, json};

const BODY: &[u8] = br#"{"command_id":"6f1c2a3e-58b1-4c0e-9a53-0d8f6c1f7b11","type":"deposit","account_id":"A","amount":"1"}"#;

#[test]
fn without_a_content_type_it_is_json() {
    assert_eq!(decode_command(None, BODY), json::decode_command(BODY));
    decode_command(None, BODY).unwrap();
}

#[test]
fn case_and_parameters_make_no_difference() {
    for json in [
        CONTENT_TYPE_JSON,
        "APPLICATION/JSON",
        "application/json; charset=utf-8",
        " application/json ;x=y",
    ] {
        decode_command(Some(json), BODY).unwrap();
    }
    let bytes = binary::encode_command(&json::decode_command(BODY).unwrap());
    for bincode in [
        CONTENT_TYPE_BINCODE,
        "Application/Vnd.Chronicle.Bincode;v=1",
    ] {
        decode_command(Some(bincode), &bytes).unwrap();
    }
}

#[test]
fn another_content_type_is_refused_by_name() {
    for other in [
        "",
        "text/plain",
        "application/jsonx",
        "application/octet-stream",
    ] {
        let malformed = decode_command(Some(other), BODY).unwrap_err();
        assert_eq!(malformed.code, "unsupported_content_type");
        assert_eq!(
            malformed.message,
            format!(
                "Content-Type {other:?} is not known; use application/json or application/vnd.chronicle.bincode"
            )
        );
    }
}

#[test]
fn the_wrong_content_type_is_told_which_would_be_right() {
    let malformed = decode_command(Some(CONTENT_TYPE_BINCODE), BODY).unwrap_err();
    assert_eq!(malformed.code, "unsupported_format_version");
    assert_eq!(
        malformed.message,
        "bincode begins with the format's version, 1 to 3, and this body begins with 123; if it is JSON, send it with Content-Type: application/json"
    );
    let bytes = binary::encode_command(&json::decode_command(BODY).unwrap());
    let malformed = decode_command(None, &bytes).unwrap_err();
    assert_eq!(malformed.code, "invalid_json");
    assert_eq!(
        malformed.message,
        "the body is no JSON object; if it is bincode, send it with Content-Type: application/vnd.chronicle.bincode"
    );
}

#[test]
fn the_size_is_limited_whatever_the_content_type() {
    let large = vec![1; 262_145];
    for content_type in [None, Some(CONTENT_TYPE_BINCODE), Some("text/plain")] {
        let malformed = decode_command(content_type, &large).unwrap_err();
        assert_eq!(malformed.code, "too_large");
    }
}
