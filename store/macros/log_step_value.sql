-- The value that stands for a step of log_step: within 1 % of everything that the step holds.
CREATE OR REPLACE MACRO log_step_value(step) AS
    CASE WHEN step = 0 THEN 0.0 ELSE sign(step) * 1e-9 * 0.99 * exp(abs(CAST(step AS DOUBLE)) * 0.020000666706669543) END;
