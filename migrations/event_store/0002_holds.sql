-- Holds: money of an account that is reserved. Columns without values for every event that has nothing to do with one.

-- What of balance_after is held; NULL when it is nothing.
ALTER TABLE events ADD COLUMN held_after NUMERIC;

-- "<account_id>/<hold_id>" on the events that change a hold; the newest of them has the hold as it is. One text, and not
-- two columns: with account_id among the conditions, the planners would walk down the account's history instead.
ALTER TABLE events ADD COLUMN hold_key TEXT;
