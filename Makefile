# Every command there is; `make` alone lists them. Each makes .venv first, if it is not there or not right.
# Times are for two CPU cores. GNU make 3.81 is enough, and paths are relative: the folder's name may hold a space.

PYTHON ?= python3
PORT   ?= 5000
STUDY  ?= dropout_lr

# A value goes to the shell as one quoted word, or as one for each of its words, whatever characters it is made of.
quote   = '$(subst ','\'',$(strip $(value $(1))))'
each    = $(foreach word,$(value $(1)),$(call quote,word))
set     = $(if $(1)$(value SET),--set $(1) $(call each,SET))
options = $(if $(value SEEDS),--seeds $(call quote,SEEDS)) $(if $(value WORKERS),--workers $(call quote,WORKERS)) \
          $(if $(value DEVICE),--device $(call quote,DEVICE))
python  = .venv/bin/python

# A variable on the command line that nothing reads is a slip of the pen, and ends here. What the programs read from the
# environment (OTHERS) may stand there too. Python finds the nearest name; where there is none, all are named.
KNOWN   = PYTHON PORT STUDY SEEDS WORKERS DEVICE SET ARGS TRIALS EXPERIMENTS
OTHERS  = SHELL MAKE% MLFLOW_% OPTUNA_% TINYCNN_% OMP_% CUDA_% CXX
FIELDS  = train.epochs train.batch_size optimizer.lr model.dropout data.name data.images
UNKNOWN := $(strip $(foreach name,$(filter-out $(KNOWN) $(OTHERS),$(.VARIABLES)),\
             $(if $(filter command,$(origin $(name))),$(name))))
NEAREST = from sys import argv; from tinycnn.errors import nearest, visible; \
          known, fields, given = argv[1].split(), argv[2].split(), zip(argv[3::2], argv[4::2]); \
          field = lambda name: next((each for each in fields if each.split(".")[1] == name.lower()), None); \
          hint = lambda name, value: f"SET=\"{field(name)}={value}\"" if field(name) else nearest(name.upper(), known); \
          print("; ".join(visible(f"{name}: no such variable, {hint(name, value)}") for name, value in given), end="")
ifneq ($(UNKNOWN),)
$(error $(or $(shell $(call quote,PYTHON) -c $(call quote,NEAREST) $(call quote,KNOWN) $(call quote,FIELDS) \
    $(foreach name,$(UNKNOWN),$(call quote,name) $(call quote,$(name))) 2>/dev/null),$(UNKNOWN): no such variable; known: $(KNOWN)))
endif

# An experiment is a file: dropping one into experiments/ makes a target of it.
TARGETS     = help setup quick test test-slow lint ui evidence report bench study dashboard list doctor
FILES       = $(sort $(filter experiments/%.py,$(wildcard experiments/*.py)))
NAMES       = $(filter-out $(TARGETS) _%,$(patsubst experiments/%.py,%,$(FILES)))

# Neither may slip other packages into .venv.
unexport PYTHONPATH PYTHONHOME

.PHONY: $(TARGETS) $(NAMES)

help:
	@echo 'Experiments: make NAME trains and tracks one, then judges it against its target'
	@for name in $(NAMES); do awk -v name="$$name" ' \
	    /"""/ && !what          { what = $$0; sub(/^[a-zA-Z]*"""/, "", what); if (what == "") getline what; \
	                              sub(/""".*/, "", what) } \
	    /^(Run|Time) / && !time { if (match($$0, /\(.*[0-9].*\)/)) time = " " substr($$0, RSTART, RLENGTH) } \
	    END                     { printf "  %-11s%s%s\n", name, what, time }' "experiments/$$name.py"; done
	@echo
	@echo 'And'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1 \2/p' Makefile | \
	    while read -r name what; do printf '  %-11s%s\n' "$$name" "$$what"; done
	@echo
	@echo 'With'
	@echo '  SEEDS=5    so many seeds, each a run'
	@echo '  WORKERS=1  how many of several seeds to train at once (one per core unless told)'
	@echo '  STUDY=NAME which study, of experiments/studies; TRIALS=60 how many, restarts included'
	@echo '  DEVICE=cpu where to train'
	@echo '  SET="train.epochs=3 optimizer.lr=0.02"'
	@echo '             a changed spec, its changes parted by blanks'
	@echo '  EXPERIMENTS="exp2 exp3"'
	@echo '             which of them make report is about'
	@echo '  ARGS="..." anything else for the command underneath, split at blanks'
	@echo '  PYTHON=    what .venv is made with; another version makes it anew'
	@echo '  PORT=5000  where make ui (or make dashboard: 8080) listens'

setup: ## .venv with what requirements.txt pins; every target does this by itself (4 min, then a blink)
	@command -v $(call quote,PYTHON) >/dev/null || \
	    { echo "setup: no Python of this name: make PYTHON=... gives another" >&2; exit 1; }
	@$(call quote,PYTHON) bootstrap.py --project . $(if $(filter file,$(origin PYTHON)),,--exact)

$(NAMES): setup
	$(python) -m tinycnn run $@ $(options) $(call set) $(call each,ARGS)

quick: setup ## the whole way in small: exp3, 2 epochs on the 5,000 digits that need no download (1 min)
	$(python) -m tinycnn run exp3 $(options) $(call set,data.name=mnist5k train.epochs=2) $(call each,ARGS)

test: setup ## the tests, without the slow ones (12 min)
	$(python) -m pytest $(call each,ARGS)

test-slow: setup ## the slow tests alone (40 min)
	$(python) -m pytest -m slow $(call each,ARGS)

lint: setup ## ruff (1 s)
	$(python) -m ruff check $(call each,ARGS) .

ui: setup ## MLflow's pages over the runs in mlflow.db, or MLFLOW_TRACKING_URI if set (10 s to start)
	@case "$$MLFLOW_TRACKING_URI" in http*) echo "The runs are on a server: open $$MLFLOW_TRACKING_URI"; exit;; esac; \
	exec $(python) -m mlflow ui --workers 1 --port $(call quote,PORT) $(call each,ARGS) \
	    --backend-store-uri "$${MLFLOW_TRACKING_URI:-sqlite:///mlflow.db}"

evidence: setup ## reports/evidence, the committed record of what was run (1 min)
	$(python) -m tinycnn evidence $(call each,ARGS)

report: setup ## reports/report.html and report.md, every figure with its data; of EXPERIMENTS, or of all (30 s)
	$(python) -m tinycnn report $(call each,EXPERIMENTS) $(call each,ARGS)

bench: setup ## how fast it all is, against a plain loop: reports/bench.md; wants a quiet machine (45 min)
	$(python) -m bench $(call each,ARGS)

study: setup ## an Optuna study, STUDY=dropout_lr unless told; run again, it goes on (30 min)
	$(python) -m tinycnn search $(call quote,STUDY) $(if $(value TRIALS),--trials $(call quote,TRIALS)) \
	    $(if $(value WORKERS),--workers $(call quote,WORKERS)) $(if $(value DEVICE),--device $(call quote,DEVICE)) \
	    $(call each,ARGS)

dashboard: setup ## Optuna Dashboard on the studies in optuna.journal, or OPTUNA_STORAGE if set (5 s to start)
	@place="$${OPTUNA_STORAGE:-optuna.journal}"; case "$$place" in *://*) ;; *) test -f "$$place" || \
	    { echo "dashboard: there is no study in $$place yet: make study" >&2; exit 1; }; esac; \
	exec .venv/bin/optuna-dashboard --port $(if $(filter file,$(origin PORT)),8080,$(call quote,PORT)) \
	    $(call each,ARGS) "$$place"

list: setup ## experiments, studies, layers and data sets (2 s)
	$(python) -m tinycnn list $(call each,ARGS)

doctor: setup ## what this machine has and what it lacks (10 s)
	$(python) -m tinycnn doctor $(call each,ARGS)
