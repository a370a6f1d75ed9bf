-- The read models: rows that readers query, each rebuildable from the event store at any time.

-- Where each projection stands. A transaction that writes rows also moves this row, by compare-and-set on epoch and
-- last_sequence: rows and offset commit together, and a copy of the projection with an older epoch cannot commit.
CREATE TABLE projection_offsets (
    projection    TEXT        NOT NULL PRIMARY KEY,
    -- Which life of the stream the sequence belongs to: a stream that was lost and made anew has another.
    stream_id     TEXT        NOT NULL,
    -- Raised at every start of the projection: the fence.
    epoch         BIGINT      NOT NULL,
    last_sequence BIGINT      NOT NULL,
    -- The event at last_sequence: tells a stream that was rewound and written anew.
    last_event_id UUID,
    updated_at    TIMESTAMPTZ NOT NULL
);

-- Up to which version each account has been applied by each projection: the order guard.
CREATE TABLE projection_versions (
    projection TEXT   NOT NULL,
    account_id TEXT   NOT NULL,
    version    BIGINT NOT NULL,
    PRIMARY KEY (projection, account_id)
);

-- Events that an operator told a projection to skip, and why.
CREATE TABLE projection_skips (
    projection    TEXT        NOT NULL,
    stream_id     TEXT        NOT NULL,
    last_sequence BIGINT      NOT NULL,
    -- The event that the message holds; missing when the message cannot be read. After a rewind of the stream another
    -- event may stand at the same sequence: that one is not skipped.
    event_id      UUID,
    reason        TEXT        NOT NULL,
    skipped_by    TEXT        NOT NULL,
    skipped_at    TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (projection, stream_id, last_sequence)
);

-- What is in each account now.
CREATE TABLE account_balance (
    account_id      TEXT        NOT NULL PRIMARY KEY,
    owner_name      TEXT        NOT NULL,
    balance         NUMERIC     NOT NULL,
    currency        TEXT        NOT NULL,
    overdraft_limit NUMERIC     NOT NULL,
    status          TEXT        NOT NULL,
    version         BIGINT      NOT NULL,
    opened_at       TIMESTAMPTZ NOT NULL,
    updated_at      TIMESTAMPTZ NOT NULL
);

-- Every line of every account.
CREATE TABLE transactions (
    transaction_id          UUID        NOT NULL,
    account_id              TEXT        NOT NULL,
    version                 BIGINT      NOT NULL,
    type                    TEXT        NOT NULL,
    -- Signed: what the line adds to the balance.
    amount                  NUMERIC     NOT NULL,
    currency                TEXT        NOT NULL,
    balance_after           NUMERIC     NOT NULL,
    description             TEXT,
    transfer_id             UUID,
    counterparty_account_id TEXT,
    command_id              UUID        NOT NULL,
    actor                   TEXT,
    timestamp               TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (account_id, version)
);

-- Every transfer, seen from both accounts.
CREATE TABLE transfers (
    transfer_id     UUID        NOT NULL PRIMARY KEY,
    from_account_id TEXT        NOT NULL,
    to_account_id   TEXT        NOT NULL,
    amount          NUMERIC     NOT NULL,
    currency        TEXT        NOT NULL,
    -- 'pending' while only one half has been applied, then 'completed'.
    status          TEXT        NOT NULL,
    debit_applied   BOOLEAN     NOT NULL,
    credit_applied  BOOLEAN     NOT NULL,
    description     TEXT,
    command_id      UUID        NOT NULL,
    timestamp       TIMESTAMPTZ NOT NULL
);
