# Few targets on purpose; what they do stands in .ci, and CI calls the same.
.PHONY: run test lint check-web bench microbench chaos load soak image clean

run: ## run the server: page on http://localhost:8080
	go run ./cmd/rondo

test: ## install what the tests need, run them all
	.ci/install
	.ci/test

lint: ## gofmt, vet, staticcheck, types of the browser code
	.ci/lint

check-web: ## the browser code alone: types and unit tests
	.ci/web check test

bench: ## Rondo beside what it is compared with, and which goals hold, about 12 minutes; BENCH="--quick --only relay"
	go run ./cmd/rondo-bench table $(BENCH)

microbench: ## all Go benchmarks, a second each
	go test -run '^$$' -bench . -benchmem ./...

chaos: ## every fault once on one Redis, Sentinel and Cluster, by a plan drawn anew, 2 minutes; RONDO_CHAOS_SEED repeats a run
	RONDO_CHAOS=1 go test ./e2e/chaos -run TestShort -count 1 -v

load: ## 750 people in calls, rooms and queues while nodes and Redis fail, about 3 minutes
	RONDO_LOAD=1 go test ./e2e/chaos -run 'TestLoad$$' -timeout 15m -count 1 -v

SOAK ?= 1h
soak: ## all faults for SOAK, judged every five minutes; memory, goroutines and files must stay; RONDO_CHAOS_USERS, RONDO_CHAOS_SEED
	RONDO_SOAK=$(SOAK) go test -tags long ./e2e/chaos -run TestSoak -timeout 0 -count 1 -v

image: ## container image rondo:latest
	docker build -t rondo:latest .

clean: ## what builds and tests leave behind; never ./data, which holds the secret
	-chmod -R u+w .cache 2>/dev/null
	rm -rf bin .cache web/node_modules
	go clean -testcache
