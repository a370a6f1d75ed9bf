-- $1 from, $2 to, $3 cents, $4 description, $5 actor.
-- READ COMMITTED. Both rows are locked first, in the order of their ids whichever way the money goes, so two transfers never
-- wait for each other in a circle. `locked` has the rows as they are once they are locked, and from then on nobody else can
-- change them. The update reckons from `locked` and not from its own row: it first tries the version that was there when the
-- statement began, and the CHECK would refuse what comes of that, before it looks for the newest one. Not two rows: refused.
WITH locked AS MATERIALIZED (
    SELECT account_id, balance_cents, CASE account_id WHEN $1 THEN -$3::bigint ELSE $3::bigint END AS cents
    FROM accounts
    WHERE account_id IN ($1, $2)
    ORDER BY account_id
    FOR NO KEY UPDATE
), covered AS MATERIALIZED (
    SELECT count(*) = 2 AND min(balance_cents + cents) >= 0 AS is_so FROM locked
), moved AS (
    UPDATE accounts AS account
    SET balance_cents = locked.balance_cents + locked.cents
    FROM locked, covered
    WHERE covered.is_so AND account.account_id = locked.account_id
    RETURNING account.account_id, locked.cents, account.balance_cents
)
INSERT INTO lines (account_id, cents, balance_after_cents, description, actor)
SELECT account_id, cents, balance_cents, $4, $5 FROM moved
