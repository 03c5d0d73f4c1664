# Everything a person types. Assumes Python 3.11 or newer with pip, and make; nothing else.
SHELL := /bin/sh
PYTHON ?= $(shell command -v python3.11 || command -v python3)
KEEP ?= 1
BIN := .venv/bin
MODELS := .venv-models
CLUSTER := var/cluster
UV_VERSION := $(shell sed -n 's/^uv==\([^ ]*\).*/\1/p' requirements-dev.txt)
COMPILE := $(BIN)/uv pip compile --quiet --generate-hashes --python-version 3.11 \
	--custom-compile-command "make lock"
# What `make check` needs of a production's environment; no engine is contacted.
PRODUCTION := PORTAL_URL=https://portal.example PORTAL_ALLOWED_HOSTS=portal.example \
	PORTAL_SECRET_KEY=$$($(BIN)/python -c 'import secrets; print(secrets.token_urlsafe(64))') \
	DATABASE_URL=postgresql://127.0.0.1:1/none REDIS_URL=redis://127.0.0.1:1/0

# A stack is twenty processes of Python: what they compile is kept, also where containers say otherwise.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo demo-serving pipeline run test test-survival test-browser test-cluster test-istio screenshots bench bench-judge bench-reconcile bench-serving bench-waiting check openapi lock
.DELETE_ON_ERROR:

help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{printf "%-22s %s\n", $$1, $$2}'

demo: .venv/.installed $(MODELS)/.installed ## Release a good model and a bad one on real engines; KEEP=0 ends after the story
	KEEP=$(KEEP) $(BIN)/python -m mlops_portal.demo

demo-serving: .venv/.installed $(MODELS)/.installed ## Release an ensemble, a router, a cached, an encrypted and a feature-fetching model; KEEP=0 as above
	KEEP=$(KEEP) $(BIN)/python -m mlops_portal.demo_serving

pipeline: $(MODELS)/.installed ## Features, training, evaluation and a filed release on the running stack; RUN_ID=… executes a run once more
	@$(MODELS)/bin/python -m pipelines.release --run-id "$(RUN_ID)"

run: .venv/.installed $(MODELS)/.installed ## The whole stack with what is in var/, until Ctrl-C
	@$(BIN)/python -m mlops_portal.stack run

test: .venv/.developer $(MODELS)/.installed ## All tests but those below, on the real engines
	$(BIN)/pytest -n 2 -m "not browser and not survival and not cluster and not istio"

test-survival: .venv/.developer $(MODELS)/.installed ## kill -9 in the middle of releases, on the whole stack
	$(BIN)/pytest -m survival

test-browser: .venv/.developer $(MODELS)/.installed ## The pages in a real Chromium
	$(BIN)/pytest -m browser

# With KUBECONFIG set the same tests run against that cluster.
test-cluster: .venv/.developer $(MODELS)/.installed $(CLUSTER)/kubebox $(CLUSTER)/versitygw ## Releases on a real Kubernetes API server; needs Go, rclone and SELDON_CRD
	$(BIN)/pytest -p no:schemathesis -m cluster -n 3 --dist loadfile --no-loadscope-reorder tests/cluster

# In a network namespace of its own, because pods have addresses that must not be loopback; root may make one.
test-istio: .venv/.developer $(CLUSTER)/kubebox $(CLUSTER)/istiod ## Tenants and weights through a real istiod and Envoy; needs Go, SELDON_CRD, root
	tests/istio/inside.sh $(BIN)/pytest tests/istio

screenshots: .venv/.developer ## Pictures of the running portal into var/screenshots, light and dark, desk and phone
	$(BIN)/python -m tests.browser.screenshots

bench: bench-reconcile bench-waiting bench-serving bench-judge ## All benchmarks; each also writes var/bench/<name>.json

bench-judge: .venv/.developer ## What the judge promises, simulated, beside Flagger's and Argo's rules; about 10 minutes
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m bench.judge

bench-serving: .venv/.developer $(MODELS)/.installed ## What each block costs over the bare model, under MLServer, Redis and Feast
	$(BIN)/python -m bench.serving

bench-reconcile: .venv/.developer ## One pass over 1, 100 and 1,000 running canaries
	$(BIN)/python -m bench.reconcile

bench-waiting: .venv/.developer ## How many callers one web process lets wait for a release
	$(BIN)/python -m bench.waiting

check: .venv/.developer ## Formatting, lint, types, imports, migrations, deploy check, templates, OpenAPI
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy .
	$(BIN)/lint-imports
	$(PRODUCTION) $(BIN)/python -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run
	$(PRODUCTION) $(BIN)/python manage.py check --deploy --fail-level WARNING
	git ls-files '*.html' | xargs $(BIN)/djade --check --target-version 5.2
	mkdir -p var && $(PRODUCTION) $(BIN)/python manage.py spectacular --validate --file var/openapi.yaml
	diff -u docs/openapi.yaml var/openapi.yaml || { echo 'docs/openapi.yaml is out of step; run make openapi'; exit 1; }

openapi: .venv/.developer ## Write docs/openapi.yaml anew
	$(PRODUCTION) $(BIN)/python manage.py spectacular --validate --file docs/openapi.yaml

lock: $(BIN)/uv ## Compile the locked requirement files anew
	$(COMPILE) requirements.in -o requirements.txt
	$(COMPILE) requirements-dev.in -c requirements.txt -o requirements-dev.txt
	$(COMPILE) requirements-models.in -o requirements-models.txt

# A Kubernetes control plane in one process: cold (empty caches of Go) 4-6 minutes and 3.5 GB, warm seconds.
KUBERNETES := v1.36.3
GO_BUILD := CGO_ENABLED=0 go build -mod=readonly -trimpath
$(CLUSTER)/kubebox: $(wildcard tests/cluster/kubebox/*)
	@command -v go >/dev/null || { echo 'Go is needed to build the control plane of the tests: https://go.dev'; exit 1; }
	mkdir -p $(CLUSTER)
	cd tests/cluster/kubebox && $(GO_BUILD) -o ../../../$@ -ldflags "-s -w \
		-X k8s.io/component-base/version.gitVersion=$(KUBERNETES) -X k8s.io/component-base/version.gitMajor=1 \
		-X k8s.io/component-base/version.gitMinor=36 -X k8s.io/component-base/version.gitTreeState=clean \
		-X k8s.io/client-go/pkg/version.gitVersion=$(KUBERNETES)" .

# An S3 server in one process.
VERSITYGW := v1.8.0
$(CLUSTER)/versitygw: Makefile
	GOBIN=$(abspath $(CLUSTER)) go install github.com/versity/versitygw/cmd/versitygw@$(VERSITYGW)
	@touch $@

# The environments. Each stamp is as new as the file it was installed from. uv comes from PyPI, by the
# machine's own pip: a Python without ensurepip (Debian's) cannot put one into a new environment.
$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11'; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv --without-pip .venv
	$(PYTHON) -m pip --quiet --python $(BIN)/python install uv==$(UV_VERSION)

# `install`, not `sync`: what runs the product must not throw out the tools of who develops it.
.venv/.installed: requirements.txt | $(BIN)/uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements.txt
	@touch $@

.venv/.developer: requirements-dev.txt .venv/.installed
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements-dev.txt
	@touch $@

$(MODELS)/.installed: requirements-models.txt | $(BIN)/uv
	test -x $(MODELS)/bin/python || $(PYTHON) -m venv --without-pip $(MODELS)
	$(BIN)/uv pip sync --quiet --compile-bytecode --python $(MODELS)/bin/python --require-hashes requirements-models.txt
	@touch $@

# Istio's control plane: cold 5 minutes and 3 GB, warm seconds.
$(CLUSTER)/istiod: $(wildcard tests/istio/istiod/*)
	@command -v go >/dev/null || { echo 'Go is needed to build the control plane of the tests: https://go.dev'; exit 1; }
	mkdir -p $(CLUSTER)
	cd tests/istio/istiod && $(GO_BUILD) -tags vtprotobuf,disable_pgv -ldflags "-s -w" -o ../../../$@ \
		istio.io/istio/pilot/cmd/pilot-discovery
