"""Where the stages read and write, relative to the project's root; `dvc.yaml` names the same places."""

from pathlib import Path

PARAMS = Path("params.yaml")
DVC_LOCK = Path("dvc.lock")
PRESETS = Path("presets")
BENCH = Path("bench/in_batch_attention.py")

BACKBONE = Path("data/backbone")
DOCUMENTS = Path("data/documents")
GROUPS = Path("data/groups")
MODELS = Path("models")
CHECKPOINTS = Path("checkpoints")
CACHE = Path("cache")
VECTORS = CACHE / "vectors"

RESULTS = Path("results")
FILTER_REPORT = RESULTS / "filter_corpus"
BATCHES_REPORT = RESULTS / "build_batches"
TRAIN_REPORT = RESULTS / "train"
EVALUATE_REPORT = RESULTS / "evaluate"
ABLATIONS = RESULTS / "ablations"
MTEB = RESULTS / "mteb"
REPORT = RESULTS / "report"
