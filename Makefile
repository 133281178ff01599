# Every target works on a new machine with python3 (3.11 or later), make and apt; see README.md.
.DEFAULT_GOAL := help
.PHONY: help run install demo test matrix browser soak fuzz lab lint format bench man uninstall lock changelog clean

help: ## show this
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

run: ## the daemon in the foreground: as root installed and separated, else in this clone
	@packaging/run

install: ## as root: what `make run` makes, and netevd.service; then systemctl enable --now netevd
	@python3 -B packaging/install --service

demo: ## two namespaces, links that flap, scripts that run; touches no link of this machine
	@packaging/demo

test: ## install what the tests need and run them all
	@packaging/check test

matrix: ## tests with every forbidden system call a trap, and on Python 3.12 and 3.13 where they are found
	@packaging/check matrix

browser: ## install chromium, and let its EventSource hear a daemon
	@packaging/check browser

lint: ## ruff, mypy, import contracts, shellcheck
	@packaging/check lint

format: ## let ruff format the code
	@packaging/check format

soak: ## reloads for a minute, 40 deaths, half a minute of removed rules; under load
	@packaging/check soak

fuzz: ## spoiled messages, files and requests, 20 s for each parser
	@packaging/check fuzz

lab: ## AppArmor, SELinux and WireGuard in guests, the unit under a real systemd; as root
	@packaging/check lab

bench: ## measure against the C floor; one table
	@packaging/check bench

man: ## the manual pages, into build/man; read one with `man -l`
	@packaging/check man

uninstall: ## remove what `make run` as root and `make install` have made
	@python3 -B packaging/install --remove

lock: ## pin all requirements anew, by hash
	@packaging/check lock

changelog: ## make CHANGELOG.md of the fragments in changes/
	@packaging/check changelog

clean: ## remove environments and caches of this clone
	@packaging/check clean
