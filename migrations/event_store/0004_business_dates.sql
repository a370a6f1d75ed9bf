-- Business dates: from when on money counts as moved. Columns without values for every event that was given none.

-- What the command said; NULL when the movement is effective when it was recorded.
ALTER TABLE events ADD COLUMN effective_at TIMESTAMPTZ;

-- account_id once more, on events with a business date alone. A column of its own, as opened_account_id is: with account_id
-- among the conditions, the planners would walk down the account's history instead. A plain one, for a generated one would
-- make PostgreSQL write the whole table anew.
ALTER TABLE events ADD COLUMN dated_account_id TEXT;

-- The later of recorded_at and effective_at, on the same events: from then on the clock and the books agree about the
-- event. What makes them differ about an instant lies behind it.
ALTER TABLE events ADD COLUMN dated_until TIMESTAMPTZ;
