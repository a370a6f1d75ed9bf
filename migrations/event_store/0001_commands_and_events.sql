-- The event store: the truth. Rows are only ever inserted. The same statements run on CockroachDB and PostgreSQL.

-- One row per command that has an outcome: what was asked for, and what became of it, for ever.
CREATE TABLE commands (
    command_id   UUID        NOT NULL PRIMARY KEY,
    -- The account debited, or the only one.
    account_id   TEXT        NOT NULL,
    command_type TEXT        NOT NULL,
    -- SHA-256 of the canonical command: tells a retry from another command under the same id.
    fingerprint  BYTEA       NOT NULL,
    body         JSONB       NOT NULL,
    -- {"status","events":[…],"rejection":{…}}
    outcome      JSONB       NOT NULL,
    recorded_at  TIMESTAMPTZ NOT NULL
);

-- One row per event. The primary key is the optimistic lock: two writers cannot both write version n + 1.
-- account_id leads it, so that writes spread over a CockroachDB cluster by account and not by time.
CREATE TABLE events (
    account_id      TEXT        NOT NULL,
    version         BIGINT      NOT NULL CHECK (version >= 1),
    event_id        UUID        NOT NULL,
    event_type      TEXT        NOT NULL,
    command_id      UUID        NOT NULL,
    data            JSONB       NOT NULL,
    balance_after   NUMERIC     NOT NULL,
    actor           TEXT,
    recorded_at     TIMESTAMPTZ NOT NULL,
    prev_hash       BYTEA       NOT NULL,
    hash            BYTEA       NOT NULL,
    -- The version of the newest event that carries a profile; an account is loaded from its newest row and that one.
    profile_version BIGINT      NOT NULL CHECK (profile_version >= 1),
    -- What changes seldom (owner, currency, limits, status), in full, on the events that change it.
    profile         JSONB,
    -- account_id once more, for events_by_time alone. An index that begins with account_id and has version, too, costs
    -- as much as the primary key in PostgreSQL's eyes wherever most accounts have one event; it would look versions up
    -- there, and read all of the history of the few accounts that have a long one.
    timed_account_id  TEXT GENERATED ALWAYS AS (account_id) STORED,
    -- account_id on an account's first event, for accounts_opened. A column of its own, because CockroachDB walks over a
    -- partial index from its beginning when the index's condition (version = 1) is about another column than its key.
    opened_account_id TEXT GENERATED ALWAYS AS (CASE WHEN version = 1 THEN account_id END) STORED,
    PRIMARY KEY (account_id, version)
);

-- What was it at a given microsecond: one step down this index, however long the history.
CREATE INDEX events_by_time ON events (timed_account_id, recorded_at, version);

-- All accounts, in order, without reading their histories.
CREATE INDEX accounts_opened ON events (opened_account_id) WHERE opened_account_id IS NOT NULL;
