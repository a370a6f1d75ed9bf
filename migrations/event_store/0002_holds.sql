-- Holds: money of an account that is reserved. Columns without values for every event that has nothing to do with one.

-- What of balance_after is held; NULL when it is nothing.
ALTER TABLE events ADD COLUMN held_after NUMERIC;

-- Ties the events of an account together that are about one thing, such as "<account_id>/hold/<hold_id>" for a hold and
-- what became of it; the newest of them has that thing as it is. One text, and not two columns: with account_id among the
-- conditions, the planners would walk down the account's history instead.
ALTER TABLE events ADD COLUMN thread_key TEXT;
