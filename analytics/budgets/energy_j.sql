-- Joules spent. Of the whole fleet: everything the meters counted, idle and unattributed included. Of a tenant or a
-- tier, and where it is split by tenant or model: the active energy attributed to their requests.
WITH {spent}
SELECT tenant, model, CAST(sum(joules) AS DOUBLE) AS spent, count(joules) AS events
FROM spent
GROUP BY ALL
