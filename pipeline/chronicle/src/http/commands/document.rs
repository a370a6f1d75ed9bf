//! A command's document, completed with what the path and the headers say.

use ledger::CommandId;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use uuid::Uuid;

use crate::http::problem::Problem;

/// What may stand in the body or be said elsewhere. The body itself is judged by the decoder, not here.
#[derive(Deserialize)]
struct Said {
    #[serde(default, deserialize_with = "present")]
    command_id: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    actor: Option<Value>,
}

/// A field that is there, whatever stands in it: `null` is for the decoder to judge, and must not be said twice.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// The body with the type, the id and the actor put before its own fields. What is wrong with the body is left for the
/// decoder to say: a field that stands there twice is a duplicate.
///
/// Bytes are put before bytes, and nothing is written anew: numbers stay as they were sent.
pub(super) fn complete(
    body: &[u8],
    key: Option<CommandId>,
    type_name: Option<&str>,
    actor: Option<&str>,
) -> Result<Vec<u8>, Problem> {
    let said: Option<Said> = serde_json::from_slice(body).ok();
    let said_id = said.as_ref().and_then(|said| said.command_id.as_ref());
    let mut given: Vec<(&str, String)> = Vec::new();
    match (said_id, key) {
        (Some(Value::String(said)), Some(key)) if !said.eq_ignore_ascii_case(&key.to_string()) => {
            return Err(Problem::bad_request(
                "invalid_command_id",
                "Idempotency-Key and command_id name two commands; leave one of them out",
            ));
        }
        (Some(_), _) => {}
        (None, key) => {
            let id = key.unwrap_or_else(|| Uuid::new_v4().into());
            given.push(("command_id", id.to_string()));
        }
    }
    if let Some(type_name) = type_name {
        given.push(("type", type_name.to_owned()));
    }
    if let (Some(actor), Some(said)) = (actor, &said) {
        match said.actor {
            None => given.push(("actor", actor.to_owned())),
            // It would be on record as nobody's.
            Some(Value::Null) => {
                return Err(Problem::bad_request(
                    "invalid_field",
                    "actor is null: name somebody, or leave it out for the token's name",
                ));
            }
            Some(_) => {}
        }
    }
    Ok(put_before(body, &given))
}

fn put_before(body: &[u8], given: &[(&str, String)]) -> Vec<u8> {
    let start = body.iter().position(|byte| !byte.is_ascii_whitespace());
    let Some((start, b'{')) = start.map(|start| (start, body[start])) else {
        return body.to_vec(); // no object: the decoder says so
    };
    let rest = &body[start + 1..];
    let is_empty = rest.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'}');
    let fields: Vec<String> = given
        .iter()
        .map(|(name, value)| format!("\"{name}\":{}", Value::from(value.as_str())))
        .collect();
    let mut document = Vec::with_capacity(body.len() + 128);
    document.push(b'{');
    document.extend_from_slice(fields.join(",").as_bytes());
    if !fields.is_empty() && !is_empty {
        document.push(b',');
    }
    document.extend_from_slice(rest);
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(body: &str, key: Option<&str>, type_name: Option<&str>) -> String {
        let key = key.map(|key| key.parse().unwrap());
        let document = complete(body.as_bytes(), key, type_name, Some("teller-3")).unwrap();
        String::from_utf8(document).unwrap()
    }

    const ID: &str = "6f1c2a3e-58b1-4c0e-9a53-0d8f6c1f7b11";

    #[test]
    fn what_is_said_elsewhere_comes_first_and_numbers_stay_as_they_are() {
        assert_eq!(
            completed(
                " {\"amount\":0.10000000000000000001}",
                Some(ID),
                Some("deposit")
            ),
            format!(
                "{{\"command_id\":\"{ID}\",\"type\":\"deposit\",\"actor\":\"teller-3\",\"amount\":0.10000000000000000001}}"
            )
        );
        assert_eq!(
            completed("{ }", Some(ID), Some("deposit")),
            format!("{{\"command_id\":\"{ID}\",\"type\":\"deposit\",\"actor\":\"teller-3\" }}")
        );
    }

    #[test]
    fn the_body_may_name_itself() {
        let body = format!("{{\"command_id\":\"{ID}\",\"actor\":\"me\",\"type\":\"deposit\"}}");
        assert_eq!(completed(&body, None, None), body);
        assert_eq!(completed(&body, Some(&ID.to_uppercase()), None), body);
        // Said twice, the decoder sees it twice.
        assert!(completed(&body, None, Some("deposit")).starts_with("{\"type\":\"deposit\","));
    }

    #[test]
    fn a_field_that_is_there_is_never_said_a_second_time() {
        for body in ["{\"command_id\":null}", "{\"command_id\":7,\"actor\":7}"] {
            for key in [None, Some(ID.parse().unwrap())] {
                let document = complete(body.as_bytes(), key, None, None).unwrap();
                assert_eq!(document, body.as_bytes());
            }
        }
    }

    #[test]
    fn with_a_token_nobody_is_no_actor() {
        let body = b"{\"actor\":null}";
        assert!(complete(body, None, None, Some("teller-3")).is_err());
        assert!(complete(body, None, None, None).is_ok());
    }

    #[test]
    fn two_ids_are_one_too_many() {
        let body = format!("{{\"command_id\":\"{ID}\"}}");
        let other = Uuid::new_v4().into();
        assert!(complete(body.as_bytes(), Some(other), None, None).is_err());
    }

    #[test]
    fn without_an_id_one_is_made_up() {
        let documents = [0, 1].map(|_| completed("{}", None, None));
        assert_ne!(documents[0], documents[1]);
    }

    #[test]
    fn what_is_no_object_is_left_alone() {
        for body in ["", " ", "[]", "7", "\u{feff}{}", "null"] {
            assert_eq!(completed(body, Some(ID), Some("deposit")), body);
        }
    }
}
