-- From 0.1.0 to 0.2.0. Above the line below stands what is written by hand and runs first; `make upgrade-script` writes
-- what is below it, from the difference between sql/upgrade/pg_iot_kpi--0.1.0.sql and sql/install.

---- generated ----
