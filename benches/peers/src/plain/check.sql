WITH of_account AS (
    SELECT account_id, count(*) AS lines, sum(cents) AS cents FROM lines GROUP BY account_id
)
SELECT
    count(*) AS accounts,
    sum(balance_cents)::bigint AS total_cents,
    count(*) FILTER (WHERE balance_cents < 0) AS negative,
    coalesce(sum(lines), 0)::bigint AS lines,
    count(*) FILTER (WHERE balance_cents <> $1 + coalesce(cents, 0)) AS other_than_lines
FROM accounts LEFT JOIN of_account USING (account_id)
