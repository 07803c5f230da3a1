# Few targets on purpose; what they do stands in .ci, and CI calls the same.
.PHONY: run test lint check-web bench image clean

run: ## run the server: page on http://localhost:8080
	go run ./cmd/rondo

test: ## install what the tests need, run them all
	.ci/install
	.ci/test

lint: ## gofmt, vet, staticcheck, types of the browser code
	.ci/lint

check-web: ## the browser code alone: types and unit tests
	.ci/web check test

bench: ## all Go benchmarks, a second each
	go test -run '^$$' -bench . -benchmem ./...

image: ## container image rondo:latest
	docker build -t rondo:latest .

clean: ## what builds and tests leave behind; never ./data, which holds the secret
	-chmod -R u+w .cache 2>/dev/null
	rm -rf bin .cache web/node_modules
	go clean -testcache
