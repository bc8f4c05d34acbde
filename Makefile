# make test, lint and demo work on a fresh Debian or Ubuntu, as root, and
# install what is missing. No target touches a pool that it did not make.
SHELL := /bin/bash
export PATH := $(PATH):/usr/sbin:/sbin
# A checkout that belongs to somebody else is no fault; VERSION says what git knows.
export GOFLAGS += -buildvcs=false

GOLANGCI_VERSION := v2.15.0
GOLANGCI_DIR := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/zreconcile/golangci-lint-$(GOLANGCI_VERSION)
GOLANGCI := $(GOLANGCI_DIR)/golangci-lint

NFPM_VERSION := v2.45.2
NFPM_DIR := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/zreconcile/nfpm-$(NFPM_VERSION)
NFPM := $(NFPM_DIR)/nfpm

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
DIST ?= dist
FUZZTIME ?= 10s
SUITE ?= trixie
RUN ?=
PACKAGE ?= e2e
DURATION ?= 30m
# What the tests in virtual machines may take; those of RUN may be all, for hours.
TIMEOUT ?= $(if $(RUN),12h,60m)

.PHONY: build deb test test-elsewhere vm-image e2e-vm oracle lint bench demo demo-down fuzz clean help

help: ## show this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

build: ## bin/zreconcile
	VERSION='$(VERSION)' cmd/zreconcile/build.sh bin/zreconcile

deb: $(NFPM) ## dist/zreconcile_VERSION_ARCH.deb, for GOARCH (amd64, arm64)
	VERSION='$(VERSION)' DIST='$(DIST)' cmd/zreconcile/package/deb.sh $(NFPM)

$(NFPM):
	GOARCH= GOBIN=$(NFPM_DIR) go install github.com/goreleaser/nfpm/v2/cmd/nfpm@$(NFPM_VERSION)

test: ## vet, all tests, and the whole walk on real ZFS and PostgreSQL (root)
	./e2e/setup.sh tests
	go vet ./...
	go test ./... -p 1 -parallel 2 -count=1 -timeout 45m

oracle: ## restores to random moments against pg_waldump, for DURATION; SEED repeats a run (root)
	./e2e/setup.sh
	ZRECONCILE_ORACLE_DURATION=$(DURATION) ZRECONCILE_ORACLE_SEED=$(SEED) go test ./e2e -run '^TestOracle$$' -count=1 -timeout 0 -v

test-elsewhere: ## make test on another Debian with its PostgreSQL, at full speed (root; SUITE=trixie has 17)
	./e2e/elsewhere.sh $(SUITE) make test

vm-image: ## the virtual machine with OpenZFS and systemd, in the cache (root; SUITE=trixie or bookworm)
	./e2e/setup.sh vm
	./e2e/vm/image.sh $(SUITE)

e2e-vm: vm-image ## tests in such machines: what CI has time for, or RUN of those of PACKAGE, e2e or zfs; RUN=. is all; TIMEOUT ends it (root)
	ZRECONCILE_VM_SUITE=$(SUITE) ZRECONCILE_VM_PACKAGE=$(PACKAGE) ZRECONCILE_VM_TESTS='$(RUN)' go test -tags vm ./e2e/vm $(if $(RUN),-run '^TestSuite$$') -count=1 -parallel 3 -timeout $(TIMEOUT) -v

lint: $(GOLANGCI) ## golangci-lint, with the direction of imports
	$(GOLANGCI) run ./...

$(GOLANGCI):
	GOBIN=$(GOLANGCI_DIR) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)

bench: ## the ratios that the contract promises
	./e2e/setup.sh
	go test ./e2e -run '^$$' -bench . -benchtime 3x -timeout 60m
	go test $$(go list ./... | grep -v /e2e) -p 1 -run '^$$' -bench . -benchmem

demo: build ## the main job, from a bare machine to a table that was dropped (root)
	./examples/demo/demo.sh up

demo-down: ## leave nothing of the demo
	./examples/demo/demo.sh down

fuzz: ## each fuzz target for FUZZTIME
	@set -e; for package in $$(go list ./...); do \
	  for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
	    echo "$$package $$target"; \
	    go test $$package -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME); \
	  done; \
	done

clean: ## what a build leaves
	rm -rf bin dist
