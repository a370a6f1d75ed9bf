-- Batches: which command of its batch made an event, from 0. NULL for the events of every other command.
ALTER TABLE events ADD COLUMN part BIGINT;
