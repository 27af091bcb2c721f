# Tsubame. `make run` starts the server, `make test` runs everything that is tested,
# `make check` is the short version for between two edits.

GO       ?= go
BIN      := bin/tsubame
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
FUZZTIME ?= 1m
FUZZJOBS ?= 1
BENCHTIME ?= 1s
CHURN    ?= 4m
SOAK     ?= 20m
SUITE    := bin/test/suite

# What is in the server runs under the race detector as well.
RACE_PACKAGES := ./netio/... ./media/... ./turnsrv/... ./signal/...

# Packages whose tests start the real binary are the integration suite.
LIST_TESTS = $(GO) list -f '{{.ImportPath}} {{join .TestImports " "}} {{join .XTestImports " "}}' ./...
UNIT_PACKAGES = $$($(LIST_TESTS) | awk '$$0 !~ " tsubame/bench/harness( |$$)" {print $$1}')
INTEGRATION_PACKAGES = $$($(LIST_TESTS) | awk '$$0 ~ " tsubame/bench/harness( |$$)" && $$1 !~ "$(LOAD)" {print $$1}')
# But for those that measure what they do to it, which have the machine to themselves.
LOAD = ^tsubame/bench/(load|e2e/real)$$
LOAD_PACKAGES = $$($(LIST_TESTS) | awk '$$1 ~ "$(LOAD)" {print $$1}')

.PHONY: run build build-bench test check soak netem bench bench-e2e fuzz clean deps

run: build
	@echo "The page is at http://127.0.0.1:5000/ (open it in two tabs); Ctrl-C ends the server."
	@exec $(BIN) -dev

build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-X main.version=$(VERSION)' -o $(BIN) ./cmd/tsubame

build-bench:
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/tsubame-bench ./cmd/tsubame-bench

# What the tests need beside Go: Chromium, Firefox, npm and the official SDK, a C compiler, nginx
# and coturn's client.
deps:
	@bench/browser/install.sh

# All suites run, also behind one that failed; the sum at the end decides. Of the browser tests,
# those that measure nothing run beside TestSDKChurn (see package browser).
test: deps
	@mkdir -p bin/test && rm -f bin/test/totals && $(GO) build -o $(SUITE) ./bench/suite
	@$(GO) vet ./... && $(GO) vet -tags browser,netem ./bench/browser ./bench/netem
	-@$(SUITE) -name unit -- -count=1 -timeout 8m $(UNIT_PACKAGES)
	-@$(SUITE) -name race -- -count=1 -race -timeout 10m $$($(GO) list -e -f '{{if .GoFiles}}{{.ImportPath}}{{end}}' $(RACE_PACKAGES) 2>/dev/null)
	-@$(SUITE) -name integration -- -count=1 -p 2 -timeout 10m $(INTEGRATION_PACKAGES)
	-@$(SUITE) -name load -- -count=1 -p 1 -timeout 10m $(LOAD_PACKAGES)
	-@$(SUITE) -name browser -- -tags browser -count=1 -p 1 -timeout 20m ./bench/browser -churn $(CHURN)
	-@$(SUITE) -name netem -- -tags browser -count=1 -timeout 5m -run TestACallSurvivesABadNetwork ./bench/netem
	@$(SUITE) -expect unit,race,integration,load,browser,netem

check:
	@unformatted=$$(git ls-files '*.go' | xargs -r gofmt -l); \
		[ -z "$$unformatted" ] || { echo "not gofmt'ed: $$unformatted"; exit 1; }
	@$(GO) vet ./... && $(GO) vet -tags browser,netem ./bench/browser ./bench/netem
	@bench/lint.sh -tags browser,netem ./...
	@$(GO) test -short -timeout 60s $(UNIT_PACKAGES)
	@$(GO) test -count=1 ./bench/house # what git knows is not part of the key of a cached result

# A call of three browsers through TURN, by UDP, TCP and TLS, for SOAK: longer than nonces,
# permissions, channels and allocations last.
soak: deps
	@$(GO) vet -tags browser,soak ./bench/browser
	@$(GO) test -tags browser,soak -count=1 -v -timeout 0 -run TestCallThroughTURNLasts ./bench/browser -soak $(SOAK)

# Calls of real browsers over impaired networks, through the server, directly and through Janus;
# adds a section to bench/RESULTS.md. What was measured of a commit is not measured again when it
# is run again. NETEM_CELLS='^loss' chooses cells, NETEM_SYSTEMS those whom to measure,
# NETEM_SECONDS=60 how long most cells last, NETEM_SEED the networks' draws.
netem: deps
	@bench/netem/install.sh
	@$(GO) vet -tags browser,netem ./bench/netem
	@$(GO) test -tags browser,netem -count=1 -v -timeout 0 -run TestMatrix ./bench/netem

# The stages of a packet's way, and of a session's: time and allocations of each. Beside them
# the bare loops: the least that sending and a handshake can cost on this machine.
bench:
	@$(GO) test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) ./netio/... ./media/... ./signal/... ./bench/bare | \
		awk '/^pkg:/ {sub("tsubame/", "", $$2); package = $$2} \
		     /^Benchmark/ {name = $$1; sub("^Benchmark", "", name); sub("-[0-9]+$$", "", name); ns = allocs = "?"; \
		       more = ""; \
		       for (i = 3; i < NF; i += 2) { if ($$(i+1) == "ns/op") ns = $$i; else if ($$(i+1) == "allocs/op") allocs = $$i; \
		         else if ($$(i+1) != "B/op" && $$(i+1) != "MB/s") more = more "  " $$i " " $$(i+1) } \
		       printf "%-18s %-44s %12s ns/op %6s allocs/op%s\n", package, name, ns, allocs, more} \
		     /^(FAIL|panic|---)/ {print; failed = 1} END {exit failed}'

# The standard set: a server and clients in processes of their own, 30 to 50 minutes on a
# machine that does nothing else. Ctrl-C keeps the rows that were measured till then.
bench-e2e: build-bench
	@bin/tsubame-bench standard

# Every fuzz target for FUZZTIME each; what was run is written to bench/FUZZ.md.
fuzz:
	$(GO) run ./bench/fuzzer -time $(FUZZTIME) -jobs $(FUZZJOBS) -record bench/FUZZ.md

clean:
	rm -rf bin bench/browser/node_modules
	$(GO) clean -testcache
