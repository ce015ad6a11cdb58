-- The step of 2 % of its size that x lies in, a SMALLINT: sketches count values per step, as DDSketch does (Masson et al., VLDB 2019).
-- The widths are of the ratio 1.01 / 0.99, so that log_step_value errs by at most 1 %; 0 holds what is under a nanosecond.
CREATE OR REPLACE MACRO log_step(x) AS
    CAST(sign(x) * least(greatest(ceil(ln(greatest(abs(x), 1e-300) / 1e-9) / 0.020000666706669543), 0), 32767) AS SMALLINT);
