# Thin: a target is a line or two, the work is done by tools/*.sh, tests/*.sh and the programs of tools/.
.DEFAULT_GOAL := help
.PHONY: help setup install installed uninstall dev-db dev-db-stop test regress upgrade-script catalogue freeze lint demo psql bench fuzz package docker-check

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## fetch what is missing (PostgreSQL 18, cargo-pgrx) into target/
	@tools/setup.sh

install: setup ## build the extension, install it into PG_CONFIG=... (default: the private PostgreSQL 18, and the tests' copy of it)
	@tools/install.sh

# What demo, dev-db and measures need: it leaves the tests' copy alone, which may be at work.
installed: setup
	@tools/install.sh programs

uninstall: setup ## take the extension out of PG_CONFIG=... again
	@tools/install.sh uninstall

dev-db: installed ## start, or find, a private PostgreSQL with an empty store; the last line is its URI
	@tools/run.sh dev-db

dev-db-stop: ## end it and remove its data
	@tools/run.sh dev-db stop

test: ## set up, then every test on PostgreSQL 18 and 15 (or on PG_CONFIG=... alone)
	@tests/test.sh

regress: setup ## the extension's regression tests (NAME=... for one, ACCEPT=1 to take its output as expected)
	@tools/install.sh tests
	@tools/run.sh pg-regress $(NAME) $(if $(ACCEPT),--accept)

upgrade-script: setup ## write the script from the last released version's SQL to that of sql/
	@tools/run.sh versions step

catalogue: ## write the lists of KPIs that SQL, docs and plugin have, from kpi-core/src/catalogue.rs
	@tools/run.sh catalogue

freeze: installed ## keep the SQL of this version and a store it made, for the tests of the versions to come
	@tools/run.sh versions freeze

lint: setup ## format and lints of every crate
	@tests/lint.sh

demo: installed ## five devices live, with a day of history (SECONDS=n ends it by itself)
	@tools/run.sh demo $(if $(SECONDS),--seconds $(SECONDS))

psql: ## open the demo's database
	@tools/run.sh demo psql

bench: installed ## measure how fast it is, as ratios to plain PostgreSQL (QUICK=1: less data, three minutes; GROUPS="reports ingest"; SOAK=1: ten minutes of crashes, or SOAK_SECONDS)
	@cargo build --release --package iot-kpi-collector
	@tools/run.sh $(if $(SOAK),soak --seconds $(or $(SOAK_SECONDS),600),bench $(GROUPS) $(if $(QUICK),--quick))

fuzz: setup ## try to break every decoder, and the plugin's requests (TIME=seconds each; TARGETS="states queries rest")
	@tests/fuzz.sh $(or $(TIME),60) $(TARGETS)

package: setup ## Debian packages, tar files, the plugin's zip, SBOM and checksums, in target/package (PostgreSQL 15 and 18, or PG_CONFIG=...; ARM64=1: the plugin for arm64 too)
	@tools/package.sh
	@tests/package-check.sh

docker-check: ## really run the steps of docker/*.Dockerfile on stand-ins for their bases (root, Debian, up to an hour; IMAGES="collector postgres grafana")
	@tests/docker.sh $(IMAGES)
