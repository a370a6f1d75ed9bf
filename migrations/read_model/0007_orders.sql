-- What operators order, and what a read model is built by.

ALTER TABLE projection_offsets
    -- Raised by each order that moves the projection: a copy that runs meanwhile reads its offset again and goes on.
    ADD COLUMN generation   BIGINT NOT NULL DEFAULT 0,
    -- The version of the definition that the rows are made by.
    ADD COLUMN definition   INT    NOT NULL DEFAULT 1,
    -- Since when, by whom and why it rests; it is paused while there is a time.
    ADD COLUMN paused_at    TIMESTAMPTZ,
    ADD COLUMN paused_by    TEXT,
    ADD COLUMN pause_reason TEXT;

-- Every order: who, when, what and why. Rows are only ever inserted.
CREATE TABLE projection_audit (
    number     BIGINT      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    projection TEXT        NOT NULL,
    action     TEXT        NOT NULL,
    by         TEXT        NOT NULL,
    reason     TEXT,
    details    JSONB       NOT NULL DEFAULT '{}'
);
CREATE INDEX projection_audit_by_projection ON projection_audit (projection, number);
