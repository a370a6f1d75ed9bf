-- $1 from, $2 to, $3 cents, $4 description, $5 actor.
-- READ COMMITTED. Both rows are locked first, in the order of their ids whichever way the money goes, so two transfers never
-- wait for each other in a circle. `locked` has the rows as they are once they are locked. The update needs `covered`, and so
-- begins when all are locked; it starts from the newest version of each row, which by then nobody else can change. Not two
-- rows: refused.
WITH locked AS MATERIALIZED (
    SELECT account_id, balance_cents
    FROM accounts
    WHERE account_id IN ($1, $2)
    ORDER BY account_id
    FOR NO KEY UPDATE
), covered AS MATERIALIZED (
    SELECT count(*) = 2 AND bool_or(account_id = $1 AND balance_cents >= $3) AS is_so FROM locked
), moved AS (
    UPDATE accounts AS account
    SET balance_cents = account.balance_cents + CASE WHEN account.account_id = $1 THEN -$3 ELSE $3 END
    FROM covered
    WHERE covered.is_so AND account.account_id IN ($1, $2)
    RETURNING account.account_id, account.balance_cents
)
INSERT INTO lines (account_id, cents, balance_after_cents, description, actor)
SELECT account_id, CASE WHEN account_id = $1 THEN -$3 ELSE $3 END, balance_cents, $4, $5 FROM moved
