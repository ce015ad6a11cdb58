SELECT
    CASE WHEN list_contains(CAST($by AS VARCHAR[]), 'tier') THEN r.tier END AS g_tier,
    CASE WHEN list_contains(CAST($by AS VARCHAR[]), 'tenant') THEN r.tenant END AS g_tenant,
    CASE WHEN list_contains(CAST($by AS VARCHAR[]), 'model') THEN r.model END AS g_model,
    r.*
FROM {rows} r
WHERE (len(CAST($tiers AS VARCHAR[])) = 0 OR list_contains(CAST($tiers AS VARCHAR[]), r.tier))
  AND (len(CAST($tenants AS VARCHAR[])) = 0 OR list_contains(CAST($tenants AS VARCHAR[]), r.tenant))
  AND (len(CAST($models AS VARCHAR[])) = 0 OR list_contains(CAST($models AS VARCHAR[]), r.model))
  AND (len(CAST($runs AS VARCHAR[])) = 0 OR list_contains(CAST($runs AS VARCHAR[]), r.run_id))
