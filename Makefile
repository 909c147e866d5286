# Every command; `make` alone lists them. Each sets up .venv first, if need be. Times are for two CPU cores.
# GNU make 3.81 is enough. Paths are relative, because the folder's name may contain a space.

PYTHON ?= python3
PORT   ?= 5000
STUDY  ?= dropout_lr

# Quote a variable's value for the shell: `quote` as one word, `each` as one word for each of its words.
quote   = '$(subst ','\'',$(strip $(value $(1))))'
each    = $(foreach word,$(value $(1)),$(call quote,word))
set     = $(if $(1)$(value SET),--set $(1) $(call each,SET))
options = $(if $(value SEEDS),--seeds $(call quote,SEEDS)) $(workers) $(device) $(launch)
workers = $(if $(value WORKERS),--workers $(call quote,WORKERS))
device  = $(if $(value DEVICE),--device $(call quote,DEVICE))
launch  = $(if $(value LAUNCH),--launch $(call quote,LAUNCH)) $(if $(value SLURM),--slurm $(call quote,SLURM))
python  = .venv/bin/python
# Optuna Dashboard takes the storage as an argument only, and everybody may read the arguments of a process.
# In a database without studies it would miss their tables, which Optuna makes when it is asked for the storage.
DASHBOARD = 'import os, runpy, sys, optuna; address = os.environ["OPTUNA_STORAGE"]; \
    "://" in address and optuna.storages.get_storage(address); sys.argv = ["optuna-dashboard", *sys.argv[1:], address]; \
    runpy.run_path(".venv/bin/optuna-dashboard", run_name="__main__")'

# Each file in experiments/ is a target.
TARGETS     = help setup quick test test-slow lint records ui evidence report figures bench export study sweep dashboard \
              list doctor resume rerun close register deliver zoo device
FILES       = $(sort $(filter experiments/%.py,$(wildcard experiments/*.py)))
NAMES       = $(filter-out $(TARGETS) _%,$(patsubst experiments/%.py,%,$(FILES)))

# A variable on the command line that no target of it reads is a mistake, and ends here. What the programs read from the
# environment (OTHERS) may stand there too.
TRAINING       = SEEDS WORKERS DEVICE LAUNCH SLURM
READS_any      = PYTHON TORCH_INDEX ARGS
READS_quick    = $(TRAINING) SET
READS_records  = $(TRAINING)
READS_study    = STUDY TRIALS $(filter-out SEEDS,$(TRAINING))
READS_sweep    = SWEEP $(TRAINING)
READS_resume   = RUN WORKERS LAUNCH SLURM
READS_rerun    = RUN
READS_close    = RUN
READS_register = RUN
READS_export   = RUN TO
READS_report   = EXPERIMENTS ALL
READS_device   = EXPERIMENTS
READS_ui       = PORT
READS_dashboard = PORT
$(foreach name,$(NAMES),$(eval READS_$(name) = $(TRAINING) SET))
OTHERS         = SHELL MAKE% MLFLOW_% OPTUNA_% TINYCNN_% OMP_% CUDA_% CXX
READ           = $(sort $(foreach goal,any $(MAKECMDGOALS),$(READS_$(goal))))
UNREAD        := $(strip $(foreach name,$(filter-out $(READ) $(OTHERS),$(.VARIABLES)),\
                   $(if $(filter command,$(origin $(name))),$(name))))
ifneq ($(if $(filter-out $(TARGETS) $(NAMES),$(MAKECMDGOALS)),,$(UNREAD)),)
$(error $(UNREAD): not read by make $(MAKECMDGOALS), which reads $(READ)$(if $(filter SET,$(READ)),; a field of the \
spec: SET="train.epochs=3 optimizer.lr=0.02"))
endif

# The first two would add other packages to those of .venv. With the third, which images of containers often set, every
# start compiles MLflow and torch again, which takes longer than anything else that is done before the first batch.
unexport PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE

.PHONY: $(TARGETS) $(NAMES)

# Names and what they are, parted by tabs, in two columns of a terminal of 80.
COLUMNED = awk -F '\t' '{ count = split($$2, words, " "); line = sprintf("  %-12s", $$1); \
    for (i = 1; i <= count; i++) { \
        if (length(line " " words[i]) > 80) { print line; line = sprintf("  %-12s", "") } line = line " " words[i] } \
    print line }'

help:
	@echo 'Experiments: make NAME trains and tracks one, then judges it against its target'
	@for name in $(NAMES); do awk -v name="$$name" ' \
	    /"""/ && !what          { what = $$0; sub(/^[a-zA-Z]*"""/, "", what); if (what == "") getline what; \
	                              sub(/""".*/, "", what) } \
	    /^(Run|Time) / && !time { if (match($$0, /\(.*[0-9].*\)/)) time = " " substr($$0, RSTART, RLENGTH) } \
	    END                     { print name "\t" what time }' "experiments/$$name.py"; done | $(COLUMNED)
	@echo
	@echo 'And'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { print $$1 "\t" $$2 }' Makefile | $(COLUMNED)
	@echo
	@echo 'With'
	@awk -F ' = ' '/^#: / { print substr($$1, 4) "\t" $$2 }' Makefile | $(COLUMNED)

#: SEEDS=5 = number of seeds, each a run
#: WORKERS=1 = how many seeds or trials run at once (default: one per core)
#: STUDY=NAME = a study in experiments/studies; TRIALS=60: its number of trials
#: SWEEP=NAME = a sweep in experiments/sweeps
#: DEVICE=cpu = device: cpu, cuda, cuda:1 or mps
#: LAUNCH=slurm = each seed, arm or worker is a job; SLURM="partition=gpu timeout_min=60"
#: SET="..." = fields of the spec to change, separated by spaces: "train.epochs=3 optimizer.lr=0.02"
#: EXPERIMENTS= = the experiments of make report and device, as "exp2 exp3"; ALL=1: with every table and figure
#: RUN=98597d8b = the first digits of the id of a run
#: TO=c = what make export makes of RUN: onnx, int8, c or safetensors
#: ARGS="..." = more options for the command, separated by spaces
#: PYTHON= = the Python for .venv; another version makes it anew
#: TORCH_INDEX= = where setup takes torch from, or a folder of wheels; https://download.pytorch.org/whl/cpu: no GPU, 0.5 GB in place of 3.2
#: PORT=5000 = port of make ui (make dashboard: 8080)

setup: ## .venv with what requirements.txt pins; every target does this first (4 min, later under 1 s)
	@python=$(call quote,PYTHON); $(if $(filter file,$(origin PYTHON)),test ! -x $(python) || python=$(python);) \
	"$$python" bootstrap.py $(if $(filter undefined,$(origin TORCH_INDEX)),,$(call quote,TORCH_INDEX))

$(NAMES): setup
	$(python) -m tinycnn run $@ $(options) $(call set) $(call each,ARGS)

quick: setup ## the whole path on little data: exp3, 2 epochs, 5,000 digits that need no download (1 min)
	$(python) -m tinycnn run exp3 $(options) $(call set,data.name=mnist5k train.epochs=2) $(call each,ARGS)

test: setup ## the tests, without the slow ones (5 min)
	$(python) -m pytest --numprocesses auto --dist worksteal $(call each,ARGS)

test-slow: setup ## only the slow tests (40 min)
	$(python) -m pytest -m slow $(call each,ARGS)

lint: setup ## ruff (1 s)
	$(python) -m ruff check $(call each,ARGS) .

records: setup ## the records of README again: 10 seeds of the largest, 5 of the others, what is done is kept (3 h)
	for each in 8k:10 4k:5 2k:5 1k:5 cifar:5; do \
	    $(python) -m tinycnn run record_$${each%:*} --seeds $${each#*:} --first-seed 1000 --missing $(options) || exit; done
	$(python) -m tinycnn evidence

ui: setup ## the MLflow UI on the runs in mlflow.db, or MLFLOW_TRACKING_URI if set (10 s to start)
	@case "$$MLFLOW_TRACKING_URI" in http*) printf "%s\n" "$$MLFLOW_TRACKING_URI" | sed "s|://[^/]*@|://|; s|^|The runs are on a server: open |"; exit;; esac; \
	echo 'Open http://127.0.0.1:'$(call quote,PORT)'/#/experiments/1/runs?workflowType=machine_learning'; \
	export MLFLOW_BACKEND_STORE_URI="$${MLFLOW_TRACKING_URI:-sqlite:///mlflow.db}" MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false; \
	exec $(python) -m mlflow ui --workers 1 --port $(call quote,PORT) $(call each,ARGS)

evidence: setup ## reports/evidence, the committed record of what was run (1 min)
	$(python) -m tinycnn evidence $(call each,ARGS)

report: setup ## reports/report.html and report.md, each figure with its data; of EXPERIMENTS, or ALL=1 (30 s)
	$(python) -m tinycnn report $(call each,EXPERIMENTS) $(if $(value ALL),--all) $(call each,ARGS)

figures: setup ## the README's table and figures, from reports/evidence (10 s)
	$(python) -m tinycnn figures $(call each,ARGS)

bench: setup ## measure speed against a plain loop: reports/bench.md; needs an idle machine (25 min)
	$(python) -m bench $(call each,ARGS)

export: setup ## a finished RUN for a device, TO=onnx, int8, c or safetensors, into export/ (30 s)
	$(python) -m tinycnn export $(call quote,RUN) --to $(call quote,TO) $(call each,ARGS)

device: setup ## the C program of every seed of the records, or of EXPERIMENTS, on all test images (7 s a seed of record_1k)
	$(python) -m tinycnn device $(call each,EXPERIMENTS) $(call each,ARGS)

zoo: setup ## list the trained networks in zoo/ and verify each of their files (1 min for each)
	$(python) -m tinycnn zoo $(call each,ARGS)

study: setup ## an Optuna study, by default STUDY=dropout_lr; run again to continue it (40 min)
	$(python) -m tinycnn search $(call quote,STUDY) $(if $(value TRIALS),--trials $(call quote,TRIALS)) \
	    $(workers) $(device) $(launch) $(call each,ARGS)

sweep: setup ## the variants of a spec in experiments/sweeps/SWEEP.py, each with the same seeds; run again to continue
	$(python) -m tinycnn sweep $(call quote,SWEEP) $(options) $(call each,ARGS)

dashboard: setup ## Optuna Dashboard on the studies in optuna.journal, or OPTUNA_STORAGE if set (5 s to start)
	@storage="$${OPTUNA_STORAGE:-optuna.journal}"; case "$$storage" in *://*) ;; *) test -f "$$storage" || \
	    { echo "dashboard: there is no study in $$storage yet: make study" >&2; exit 1; }; esac; \
	export OPTUNA_STORAGE="$$storage"; exec $(python) -c $(DASHBOARD) \
	    --port $(if $(filter file,$(origin PORT)),8080,$(call quote,PORT)) $(call each,ARGS)

resume: setup ## continue the interrupted run RUN, as if nothing had happened
rerun: setup ## repeat the run RUN and compare every number
close: setup ## end the interrupted run RUN for good, and delete its checkpoint
register: setup ## put the model of RUN into MLflow's model registry (10 s)
resume rerun close register:
	$(python) -m tinycnn $@ $(call quote,RUN) $(if $(filter resume,$@),$(workers) $(launch)) $(call each,ARGS)

deliver: setup ## copy the finished runs in mlflow.db to the server MLFLOW_TRACKING_URI, each once (1 s a run)
	$(python) -m tinycnn deliver $(call each,ARGS)

list: setup ## experiments, studies, sweeps, layers and data sets (2 s)
	$(python) -m tinycnn list $(call each,ARGS)

doctor: setup ## check this machine: packages, data, store, compiler (5 s)
	$(python) -m tinycnn doctor $(call each,ARGS)
