-- Operational grams of CO2e. Of the whole fleet: of every joule the meters counted, idle and unattributed included. Of a
-- tenant or a tier, and where it is split by tenant or model: of the active energy attributed to their requests.
WITH {spent}
SELECT tenant, model, CAST(sum(co2e_g) AS DOUBLE) AS spent, count(co2e_g) AS events
FROM spent
GROUP BY ALL
