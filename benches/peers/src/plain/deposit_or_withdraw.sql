-- $1 account, $2 cents: negative for a withdrawal, $3 description, $4 actor.
-- READ COMMITTED: an update that has waited for another one looks at the row anew, so the balance that is checked is the one
-- that is changed. No row: refused. No retries: one row is locked, so there is no deadlock.
WITH moved AS (
    UPDATE accounts
    SET balance_cents = balance_cents + $2
    WHERE account_id = $1 AND balance_cents + $2 >= 0
    RETURNING account_id, balance_cents
)
INSERT INTO lines (account_id, cents, balance_after_cents, description, actor)
SELECT account_id, $2, balance_cents, $3, $4 FROM moved
