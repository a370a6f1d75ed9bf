WITH event AS (
    SELECT aggregate_id, sequence, event_type,
        coalesce((payload -> event_type ->> 'cents')::bigint, (payload -> event_type ->> 'balance_cents')::bigint)
            * CASE event_type WHEN 'Withdrawn' THEN -1 ELSE 1 END AS cents,
        (payload -> event_type ->> 'balance_cents')::bigint AS balance_cents
    FROM events
), running AS (
    SELECT *, sum(cents) OVER (PARTITION BY aggregate_id ORDER BY sequence) AS sum_cents FROM event
), account AS (
    SELECT aggregate_id,
        count(*) AS events,
        max(sequence) AS last_sequence,
        sum(cents)::bigint AS cents,
        min(sum_cents) AS lowest_cents,
        count(*) FILTER (WHERE sum_cents <> balance_cents) AS wrong
    FROM running GROUP BY aggregate_id
)
SELECT
    count(*) AS accounts,
    sum(account.events)::bigint AS events,
    sum(cents)::bigint AS total_cents,
    count(*) FILTER (WHERE lowest_cents < 0) AS negative,
    count(*) FILTER (WHERE last_sequence <> account.events) AS with_holes,
    coalesce(sum(wrong), 0)::bigint AS wrong_balances,
    count(*) FILTER (
        WHERE (payload ->> 'balance_cents')::bigint IS DISTINCT FROM cents
            OR (payload ->> 'events')::bigint IS DISTINCT FROM account.events
    ) AS wrong_views
FROM account LEFT JOIN account_view ON view_id = aggregate_id
