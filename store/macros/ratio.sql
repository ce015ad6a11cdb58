-- a ÷ b as DOUBLE; NULL where b is 0 or either is NULL, because a ratio over nothing is not known rather than zero.
CREATE OR REPLACE MACRO ratio(a, b) AS CAST(a AS DOUBLE) / nullif(CAST(b AS DOUBLE), 0);
