-- Plain functions of counts and ratios.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_iot_kpi;
SET search_path = iot_kpi, public;
SET intervalstyle = 'postgres';

SELECT failed, attempts, error_rate(failed, attempts), round(low::numeric, 6) AS low, round(high::numeric, 6) AS high
-- 1/10 and 10/100: Wilson 1927 by hand; at none and at all failed the bound is exact.
FROM (VALUES (0, 0), (0, 1), (1, 1), (0, 10), (1, 10), (5, 10), (10, 10), (10, 100), (1, 1000000)) AS v (failed, attempts), wilson_interval(failed, attempts);
-- The same by the formula in plain SQL.
SELECT bool_and(abs(low - (centre - reach) / scale) < 1e-12 AND abs(high - (centre + reach) / scale) < 1e-12) AS formula
FROM generate_series(1, 40) AS n, generate_series(1, n - 1) AS f, wilson_interval(f, n),
     LATERAL (SELECT 1.959963984540054::float8 AS z, f::float8 / n AS p) AS a,
     LATERAL (SELECT p + z * z / (2 * n) AS centre, z * sqrt(p * (1 - p) / n + z * z / (4 * n::float8 * n)) AS reach, 1 + z * z / n AS scale) AS b;
SELECT bool_and(0 <= low AND low <= f::float8 / n AND f::float8 / n <= high AND high <= 1) AS around_the_rate
FROM generate_series(1, 40) AS n, generate_series(0, n) AS f, wilson_interval(f, n);

-- An outage of 1.44 % against an objective of 99.9 % burns 14.4 times the budget.
SELECT round(burn_rate(0.9856, 0.999)::numeric, 9) AS page, burn_rate(1, 0.999) AS none, round(burn_rate(0.999, 0.999)::numeric, 9) AS even, round(burn_rate(0, 0.9)::numeric, 9) AS most;
SELECT error_budget(0.999, '30 days') AS month, error_budget(0.99, '1 h') AS hour, error_budget(0.5, '0 s') AS nothing;
SELECT a, round(nines(a)::numeric, 9) AS nines FROM unnest(ARRAY[0, 0.9, 0.99, 0.999, 0.5, 1]::float8[]) AS a;
SELECT error_rate(NULL, 1), error_rate(1, NULL), burn_rate(NULL, 0.5), error_budget(0.5, NULL), nines(NULL);

-- What makes no sense is refused.
\set SHOW_CONTEXT never
SELECT error_rate(2, 1);
SELECT error_rate(-1, 1);
SELECT * FROM wilson_interval(2, 1);
SELECT burn_rate(1.1, 0.999);
SELECT burn_rate('NaN', 0.999);
SELECT burn_rate(0.5, 1);
SELECT burn_rate(0.5, 0);
SELECT burn_rate(0.5, 'NaN');
SELECT error_budget(0.999, '-1 s');
SELECT error_budget(0.999, '1 month');
SELECT nines(1.5);
SELECT nines('NaN');
