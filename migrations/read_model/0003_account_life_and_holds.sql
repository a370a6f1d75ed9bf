-- What freezing, closing, updating and holding changes.

ALTER TABLE account_balance
    -- What of the balance is held. What is available: balance + overdraft_limit - held.
    ADD COLUMN held          NUMERIC NOT NULL DEFAULT 0,
    -- Why it is frozen.
    ADD COLUMN freeze_reason TEXT,
    -- The account's own metadata.
    ADD COLUMN metadata      JSONB   NOT NULL DEFAULT '{}';

-- Lines that change what is held; without a value for all others.
ALTER TABLE transactions
    -- Signed: what the line adds to what is held.
    ADD COLUMN held       NUMERIC,
    ADD COLUMN held_after NUMERIC,
    ADD COLUMN hold_id    UUID,
    -- The earlier command whose money the line moves back.
    ADD COLUMN reversed_command_id UUID;

-- The lines that move a command's money back.
CREATE INDEX transactions_by_reversal ON transactions (reversed_command_id, account_id, version)
    WHERE reversed_command_id IS NOT NULL;

-- Every hold, as it is now.
CREATE TABLE holds (
    account_id  TEXT        NOT NULL,
    hold_id     UUID        NOT NULL,
    -- What was reserved at first; of it, what has been taken, and what is still held.
    amount      NUMERIC     NOT NULL,
    captured    NUMERIC     NOT NULL,
    remaining   NUMERIC     NOT NULL,
    currency    TEXT        NOT NULL,
    -- 'open' while something is held, then 'captured', 'released' or 'expired': how the last of it went.
    status      TEXT        NOT NULL,
    expires_at  TIMESTAMPTZ,
    description TEXT,
    -- The version of the newest event that changed it.
    version     BIGINT      NOT NULL,
    placed_at   TIMESTAMPTZ NOT NULL,
    updated_at  TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (account_id, hold_id)
);

-- Holds whose time is over: what the timer looks for.
CREATE INDEX holds_by_expiry ON holds (expires_at, account_id, hold_id) WHERE remaining > 0 AND expires_at IS NOT NULL;
-- The holds of an account in the order in which they were placed.
CREATE INDEX holds_by_placing ON holds (account_id, placed_at, hold_id);

-- What the timer has asked for, so that it asks once and, if nothing came of it, again after a while. No read model: the
-- ledger decides by itself whether a hold is over.
CREATE TABLE hold_expiry_requests (
    account_id   TEXT        NOT NULL,
    hold_id      UUID        NOT NULL,
    -- How often it was asked; part of the command's id.
    attempts     BIGINT      NOT NULL,
    requested_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (account_id, hold_id)
);
