-- The p quantile (0 to 1) of x, exact and interpolated: approx_quantile errs by 2 % at p99.9 and differs from run to run.
CREATE OR REPLACE MACRO q(x, p) AS quantile_cont(x, p);
