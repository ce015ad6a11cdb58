-- title: separate
-- definition: Idle joules belong to nobody and are a row of their own.
charged AS (SELECT *, part IN ('successful', 'failed') AS owned FROM parts),
