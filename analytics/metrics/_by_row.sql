-- From rows: the window is short, its time buckets are no whole hours, or runs are told apart.
tallies AS ({tallies}),
slots_spent AS (
    SELECT * FROM energy_spent WHERE started_at >= CAST($start AS TIMESTAMP) AND started_at < CAST($end AS TIMESTAMP)
),
