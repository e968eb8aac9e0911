# SPDX-License-Identifier: Apache-2.0
# Everything is built and tested inside a Debian 13 root that tools/root makes; see docs/lab.md.
# `make` alone lists the targets.

ENTER := tools/enter
LAB   := e2e/lab/lab
export PYTHONDONTWRITEBYTECODE := 1

.DEFAULT_GOAL := help
.PHONY: help build test test-unit test-fuzz test-e2e critest critest-zone posix-zone cluster cluster-tools e2e-cluster demo lab bench-start bench-critest format lint deb clean

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-20s %s\n", $$1, $$2 }'

demo: ## set everything up and show a pod in its own Xen domain
	@tools/setup build-root kernel dom0-root emulator images machine crictl package ready
	@$(ENTER) env PYTHONPATH=e2e python3 -m demo

lab: ## leave that machine running, with a shell; crictl, xl and zonectl are ready
	@tools/setup build-root kernel dom0-root emulator images machine crictl package ready
	@tools/lab-shell

test: ## unit tests with sanitizers, fuzz targets, end-to-end tests, critest (on zones: [Conformance])
	@tools/setup build-root kernel dom0-root emulator critest-root suites-root images machine crictl critest-images posix-suites package ready tests fuzz
	@$(MAKE) --no-print-directory run-unit run-fuzz run-e2e run-critest run-critest-zone run-cluster

test-unit: ## unit tests with address and undefined-behaviour sanitizers
	@tools/setup build-root tests
	@$(MAKE) --no-print-directory run-unit

test-e2e: ## end-to-end tests on Xen in the lab
	@tools/setup build-root kernel dom0-root emulator suites-root images machine crictl posix-suites package ready
	@$(MAKE) --no-print-directory run-e2e

critest: ## the CRI's conformance suite against the host handler, on this machine
	@tools/setup build-root critest-root crictl critest-images tests
	@$(MAKE) --no-print-directory run-critest

critest-zone: ## the same against the zone handler, on two emulated machines
	@tools/setup build-root kernel dom0-root emulator critest-root machine crictl critest-images package ready
	@e2e/critest --zone

posix-zone: ## POSIX file system suites in zones, at length
	@tools/setup build-root kernel dom0-root emulator suites-root images machine crictl posix-suites package ready
	@ZONELET_POSIX=all e2e/run -s tests/test_posix.py

cluster: ## a Kubernetes cluster whose node runs zones; stays until Ctrl-C
	@tools/setup build-root etcd kubernetes kernel dom0-root emulator images machine crictl package ready
	@e2e/cluster/run zone up

cluster-tools: ## build etcd and Kubernetes for the cluster and its tests (once, then cached)
	@tools/setup build-root etcd kubernetes

e2e-cluster: ## tests with a real control plane and kubelet: host pods here, zones in the lab
	@tools/setup build-root etcd kubernetes kernel dom0-root emulator images machine crictl package ready
	@e2e/cluster/run host
	@e2e/cluster/run zone

test-fuzz: ## each fuzz target for a fixed number of inputs
	@tools/setup build-root fuzz
	@$(MAKE) --no-print-directory run-fuzz

.PHONY: run-unit run-fuzz run-e2e run-critest run-cluster run-critest-zone
run-unit:
	@# Check ends a test after 4 s; a busy machine with sanitizers needs more now and then.
	@$(ENTER) env CK_TIMEOUT_MULTIPLIER=15 ctest --test-dir build/test --output-on-failure -j 2

run-fuzz:
	@$(ENTER) ctest --test-dir build/fuzz --output-on-failure -R '^fuzz' -j 2

run-e2e:
	@e2e/run

run-cluster:
	@e2e/cluster/run --if-built host

run-critest:
	@e2e/critest

run-critest-zone:
	@e2e/critest --zone --focus '\[Conformance\]'

build: ## the programs, into build/release
	@tools/setup build-root kernel package

deb: build ## the Debian package, into build/

bench-start: ## time a pod's start beside containerd's, on a deterministic clock
	@tools/setup build-root kernel dom0-root emulator images crictl package
	@bench/run

bench-critest: ## critest's benchmarks beside containerd's, on the same clock
	@tools/setup build-root kernel dom0-root emulator images crictl package
	@bench/critest

format: ## clang-format on all C files
	@$(ENTER) sh -c 'git ls-files "*.c" "*.h" | xargs clang-format -i'

lint: ## clang-format and clang-tidy, changing nothing
	@tools/setup build-root
	@$(ENTER) tools/lint

clean: ## remove build/ (the cache stays: tools/root says where)
	rm -rf build
