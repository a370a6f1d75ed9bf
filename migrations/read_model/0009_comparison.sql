-- The comparison of everything with the event store, which goes on in the background for ever.

-- Where it stands: one row. Whoever holds the lease compares; all others rest.
CREATE TABLE comparison (
    only_row         BOOLEAN     NOT NULL PRIMARY KEY DEFAULT true CHECK (only_row),
    -- The process that compares, and until when nobody else may.
    holder           UUID        NOT NULL,
    leased_until     TIMESTAMPTZ NOT NULL,
    -- How many steps there have been, and where the last one of this pass ended; missing at the begin of a pass.
    step             BIGINT      NOT NULL DEFAULT 0,
    place            TEXT,
    -- Of all passes so far, the present one included.
    accounts         BIGINT      NOT NULL DEFAULT 0,
    events           BIGINT      NOT NULL DEFAULT 0,
    passes           BIGINT      NOT NULL DEFAULT 0,
    -- When the last pass over everything came to its end.
    pass_ended_at    TIMESTAMPTZ
);

-- What was found to differ: a row for each place, invariant and account (or what else it is about), which is kept when it
-- is gone.
CREATE TABLE divergences (
    -- A projection, or `feed`, or `event_store`.
    place         TEXT        NOT NULL,
    invariant     TEXT        NOT NULL,
    -- The account; for what belongs to no account: what it is about, in words.
    subject       TEXT        NOT NULL,
    -- `walk`: on the walk over the accounts; else the part of what belongs to none of them.
    found_by      TEXT        NOT NULL,
    -- Where it begins, if it is about an account.
    account_id    TEXT,
    version       BIGINT,
    message       TEXT        NOT NULL,
    expected      TEXT,
    found         TEXT,
    first_seen_at TIMESTAMPTZ NOT NULL,
    last_seen_at  TIMESTAMPTZ NOT NULL,
    -- Since when it is gone; missing while it is there.
    gone_at       TIMESTAMPTZ,
    PRIMARY KEY (place, invariant, subject)
);
CREATE INDEX divergences_present ON divergences (place) WHERE gone_at IS NULL;
