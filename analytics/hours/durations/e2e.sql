-- From accepting or sending a request to its last byte, over successful requests.
SELECT *, CAST(NULL AS VARCHAR) AS origin, e2e_s AS value FROM {rows} WHERE success
