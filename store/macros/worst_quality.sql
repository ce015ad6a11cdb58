-- The weakest provenance among rows: simulated, then estimated, then measured; NULL where none is stated.
CREATE OR REPLACE MACRO worst_quality(quality) AS
    CASE max(CASE quality WHEN 'simulated' THEN 3 WHEN 'estimated' THEN 2 WHEN 'measured' THEN 1 END)
        WHEN 3 THEN 'simulated' WHEN 2 THEN 'estimated' WHEN 1 THEN 'measured' END;
