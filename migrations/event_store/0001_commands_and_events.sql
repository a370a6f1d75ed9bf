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
    PRIMARY KEY (account_id, version)
);

-- What was it at a given microsecond: one step down this index, however long the history.
CREATE INDEX events_by_time ON events (account_id, recorded_at, version);

-- All accounts, in order, without reading their histories.
CREATE INDEX accounts_opened ON events (account_id) WHERE version = 1;
