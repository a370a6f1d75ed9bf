-- What moved on each day (UTC, of recorded_at), by currency and by type as in transactions.
CREATE TABLE daily_totals (
    currency TEXT    NOT NULL,
    day      DATE    NOT NULL,
    type     TEXT    NOT NULL,
    -- The events that changed a balance, and the sum of what they changed, without its sign.
    count    BIGINT  NOT NULL,
    amount   NUMERIC NOT NULL,
    PRIMARY KEY (currency, day, type)
);
