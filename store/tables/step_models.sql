-- Constants of the affine step model as fitted: joules = b·steps + a_p·prefill + a_px·prefill context + a_d·decode + a_c·decode context.
CREATE TABLE IF NOT EXISTS step_models (
    fitted_at  TIMESTAMP NOT NULL,
    engine     VARCHAR NOT NULL,
    device     VARCHAR NOT NULL,
    model      VARCHAR,
    b          DOUBLE NOT NULL,
    a_p        DOUBLE NOT NULL,
    a_px       DOUBLE NOT NULL,
    a_d        DOUBLE NOT NULL,
    a_c        DOUBLE NOT NULL,
    idle_w     DOUBLE NOT NULL,
    r2         DOUBLE,
    condition  DOUBLE,
    intervals  INTEGER NOT NULL,
    method     VARCHAR NOT NULL,
    idle_basis VARCHAR,            -- stated | quiet | intercept | before | lowest | unseen: what idle_w rests on
    covariance DOUBLE[],           -- of b, a_p, a_px, a_d, a_c: 5 rows, each with the 5 columns of every engine fitted together, by name
    residual_rms_j DOUBLE          -- per interval
);
