# Thin: a target is a line or two, the work is done by tests/*.sh and the programs of the tests crate.
.DEFAULT_GOAL := help
.PHONY: help setup install uninstall dev-db dev-db-stop

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

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
