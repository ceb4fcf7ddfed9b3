# Thin: a target is a line or two, the work is done by tests/*.sh and the programs of the tests crate.
.DEFAULT_GOAL := help
.PHONY: help setup install uninstall dev-db dev-db-stop test regress upgrade-script freeze lint demo psql bench fuzz package docker-check

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## fetch what is missing (PostgreSQL 18, cargo-pgrx) into target/
	@tests/setup.sh

install: setup ## build the extension, install it into PG_CONFIG=... (default: the private PostgreSQL 18)
	@tests/install.sh

uninstall: setup ## take the extension out of PG_CONFIG=... again
	@tests/install.sh uninstall

dev-db: install ## start, or find, a private PostgreSQL with an empty store; the last line is its URI
	@tests/run.sh dev-db

dev-db-stop: ## end it and remove its data
	@tests/run.sh dev-db stop

test: ## set up, then every test on PostgreSQL 18 and 15 (or on PG_CONFIG=... alone)
	@tests/test.sh

regress: install ## the extension's regression tests (NAME=... for one, ACCEPT=1 to take its output as expected)
	@tests/run.sh pg-regress $(NAME) $(if $(ACCEPT),--accept)

upgrade-script: setup ## write the script from the last released version's SQL to that of sql/install
	@tests/run.sh versions step

freeze: install ## keep the SQL of this version and a store it made, for the tests of the versions to come
	@tests/run.sh versions freeze

lint: setup ## format and lints of every crate
	@tests/lint.sh

demo: install ## five devices live, with a day of history (SECONDS=n ends it by itself)
	@tests/run.sh demo $(if $(SECONDS),--seconds $(SECONDS))

psql: ## open the demo's database
	@tests/run.sh demo psql

bench: install ## measure how fast it is, as ratios to plain PostgreSQL (QUICK=1: less data, three minutes; GROUPS="reports ingest"; SOAK=1: ten minutes of crashes, or SOAK_SECONDS)
	@cargo build --release --package iot-kpi-collector
	@tests/run.sh bench $(GROUPS) $(if $(QUICK),--quick) $(if $(SOAK),--soak $(or $(SOAK_SECONDS),600))

fuzz: setup ## try to break every decoder, and the plugin's requests (TIME=seconds each; TARGETS="states queries rest")
	@tests/fuzz.sh $(or $(TIME),60) $(TARGETS)

package: setup ## Debian packages, tar files, the plugin's zip, SBOM and checksums, in target/package (PostgreSQL 15 and 18, or PG_CONFIG=...; ARM64=1: the plugin for arm64 too)
	@tests/package.sh
	@tests/package-check.sh

docker-check: ## really run the steps of docker/*.Dockerfile on stand-ins for their bases (root, Debian, up to an hour; IMAGES="collector postgres grafana")
	@tests/docker.sh $(IMAGES)
