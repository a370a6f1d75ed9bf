//! What is written is read back as it was: commands and events, in both encodings.

#[path = "support/arbitrary.rs"]
mod arbitrary;

use arbitrary::{cases, command, event};
use ledger::codec::{CONTENT_TYPE_BINCODE, CONTENT_TYPE_JSON, binary, decode_command, json};
use proptest::prelude::*;

proptest! {
    #![proptest_config(cases(2_000))]

    #[test]
    fn a_command_survives_json(command in command()) {
        let bytes = json::encode_command(&command);
        let read = decode_command(Some(CONTENT_TYPE_JSON), &bytes).unwrap();
        prop_assert_eq!(&read, &command);
        // Decimals that are equal can be spelt differently; here they are not.
        prop_assert_eq!(json::encode_command(&read), bytes);
    }

    #[test]
    fn a_command_survives_bincode(command in command()) {
        let bytes = binary::encode_command(&command);
        let read = decode_command(Some(CONTENT_TYPE_BINCODE), &bytes).unwrap();
        prop_assert_eq!(&read, &command);
        prop_assert_eq!(binary::encode_command(&read), bytes);
    }

    #[test]
    fn a_command_goes_from_json_to_bincode_and_back(command in command()) {
        let first = json::encode_command(&command);
        let read = json::decode_command(&first).unwrap();
        let through = binary::decode_command(&binary::encode_command(&read)).unwrap();
        prop_assert_eq!(json::encode_command(&through), first);
        prop_assert_eq!(through.fingerprint(), command.fingerprint());
    }

    #[test]
    fn an_event_survives_json(event in event()) {
        let bytes = json::encode_event(&event);
        let read = json::decode_event(&bytes).unwrap();
        prop_assert_eq!(&read, &event);
        prop_assert_eq!(json::encode_event(&read), bytes);
        read.check_hash().unwrap();
    }

    #[test]
    fn an_event_survives_bincode(event in event()) {
        let bytes = binary::encode_event(&event);
        let read = binary::decode_event(&bytes).unwrap();
        prop_assert_eq!(&read, &event);
        prop_assert_eq!(binary::encode_event(&read), bytes);
        read.check_hash().unwrap();
    }

    #[test]
    fn an_events_data_survives_by_itself(event in event()) {
        let data = json::encode_event_data(&event);
        let (read, currency) = json::decode_event_data(event.data.type_name(), &data).unwrap();
        prop_assert_eq!(read, event.data.clone());
        prop_assert_eq!(currency, event.currency());
    }
}
