//! Header names.

/// What the body is; JSON when it is missing.
pub const CONTENT_TYPE: &str = "Content-Type";
/// Where the publisher waits for the outcome. (JetStream takes the message's own reply subject for its acknowledgement.)
pub const REPLY_TO: &str = "Chronicle-Reply-To";
/// The type of the event in the body.
pub const EVENT_TYPE: &str = "Chronicle-Event-Type";

/// The replay that has published an event again, on a subject that is not the feed's.
pub const REPLAY: &str = "Chronicle-Replay";
/// The sequence that an event which was published again has in the feed.
pub const SEQUENCE: &str = "Chronicle-Sequence";
/// The version of the schema that it takes to read the event in the body.
pub const SCHEMA_VERSION: &str = "Chronicle-Schema-Version";
/// Which restoration brought an event back into the feed; missing on one that came when it was recorded.
pub const RESTORED: &str = "Chronicle-Restored";

/// All headers of a message as they came, in base64, beside those of them that can be read: some line of them cannot.
pub const UNREADABLE: &str = "Chronicle-Unreadable-Headers";

/// What JetStream recognises duplicates by, within its window.
pub const MESSAGE_ID: &str = "Nats-Msg-Id";

/// What the server adds to a message for the one client of a consumer.
pub const PIN_ID: &str = "Nats-Pin-Id";

/// What JetStream takes for its own begins so.
pub const SERVER_PREFIX: &str = "Nats-";

/// Every header of a dead letter that is not the original's own begins so.
pub const DEAD_LETTER_PREFIX: &str = "Chronicle-Dead-Letter-";
/// The dead letter's id: `<stream>-<sequence>-<time>` of the message that it was.
pub const DEAD_LETTER_ID: &str = "Chronicle-Dead-Letter-Id";
/// The subject that the original was published under.
pub const DEAD_LETTER_SUBJECT: &str = "Chronicle-Dead-Letter-Subject";
/// The pipeline's node that gave it up.
pub const DEAD_LETTER_NODE: &str = "Chronicle-Dead-Letter-Node";
/// A stable word for why.
pub const DEAD_LETTER_CODE: &str = "Chronicle-Dead-Letter-Code";
/// A sentence for why.
pub const DEAD_LETTER_REASON: &str = "Chronicle-Dead-Letter-Reason";
/// When the original was stored.
pub const DEAD_LETTER_STORED_AT: &str = "Chronicle-Dead-Letter-Stored-At";
/// When it was given up.
pub const DEAD_LETTER_BURIED_AT: &str = "Chronicle-Dead-Letter-Buried-At";
/// Which part of the original this is, as `1/3`; missing when it is whole.
pub const DEAD_LETTER_PART: &str = "Chronicle-Dead-Letter-Part";
/// What the dead letter's own headers and those that tell JetStream something begin with when they are the original's.
pub const DEAD_LETTER_ORIGINAL_PREFIX: &str = "Chronicle-Dead-Letter-Original-";
