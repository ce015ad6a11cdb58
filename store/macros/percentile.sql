-- The p quantile (0 to 1) of a group's values: exact and interpolated where each row is one value (upto is NULL), else between
-- counted values, where upto counts the values up to this one and of_all those of the group.
CREATE OR REPLACE MACRO percentile(x, upto, of_all, p) AS
    CASE WHEN max(of_all) IS NULL THEN quantile_cont(x, p)
         ELSE min(x) FILTER (WHERE upto > floor(p * (of_all - 1)))
            + (p * (max(of_all) - 1) - floor(p * (max(of_all) - 1)))
            * (min(x) FILTER (WHERE upto > ceil(p * (of_all - 1))) - min(x) FILTER (WHERE upto > floor(p * (of_all - 1)))) END;
