"""All that the tests change of what the pages say, and why: size, and what a page takes for granted.

The project in which the pages are run is small by its params.yaml (tests/small_project.py): a tiny random
model in place of SmolLM2, a small corpus, two steps a phase. `.venv/bin` is the environment of the tests.
"""

from __future__ import annotations

from collections.abc import Callable

from page_reader import Reader

# --- beforehand ------------------------------------------------------------------------------------


_SIX_MORE = """
import mlflow
from revela.tracking import tracking_uri

mlflow.set_tracking_uri(tracking_uri())
client = mlflow.MlflowClient()
one = client.get_model_version("revela-retriever", "1")
for _ in range(6):
    client.create_model_version(one.name, one.source, one.run_id, tags=one.tags, model_id=one.model_id)
"""


def seven_versions(reader: Reader) -> None:
    """Somebody who promotes version 3 or 7 has registered a few: these are all the same retriever."""
    reader.executes(_SIX_MORE, "six more versions")


_ABLATION = """
from revela.tracking import start_run

tags = {"stage": "ablation", "ablation": "colder", "overrides": "objective.temperature=0.005"}
with start_run("revela", "colder", tags, {}) as run:
    run.log({"docstrings/retriever/ndcg_at_10": 0.5}, step=0)
"""


def an_ablation(reader: Reader) -> None:
    """Somebody who compares ablations has run one; docs/ablations.md does so for real."""
    reader.executes(_ABLATION, "an ablation's run")


BEFORE: dict[str, Callable[[Reader], None]] = {
    "docs/mlflow.md": an_ablation,
    "docs/promotion.md": seven_versions,
}

# --- instead ---------------------------------------------------------------------------------------

# (page, command) -> what is run in its place. The tests refuse an entry that changes no command.
INSTEAD: dict[tuple[str, str], str] = {
    # The seed that the line before has finished: that it is not trained again is part of the page.
    ("docs/ablations.md", ".venv/bin/revela ablate contrastive-longer halves --seeds 0,1,2"): (
        ".venv/bin/revela ablate contrastive-longer halves --seeds 0"
    ),
}

# --- in front --------------------------------------------------------------------------------------

# (page, Python example) -> lines that the example takes for granted.
GIVEN: dict[tuple[str, str], str] = {
    ("README.md", "python 2"): """
import torch
input_ids = torch.randint(2, 500, (4, 12))
attention_mask = torch.ones_like(input_ids)
labels = input_ids.clone()
similarities = torch.rand(4, 4, requires_grad=True)
""",
}
