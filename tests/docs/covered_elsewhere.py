"""Commands of the pages that tests/docs does not run: why not, and what else does.

An entry that no page has any more fails the tests, and so does one whose test is gone. `EVERYTHING` in
place of a command stands for a page whose own test runs all of it.
"""

from __future__ import annotations

from typing import NamedTuple

EVERYTHING = "*"


class Elsewhere(NamedTuple):
    reason: str
    by: str  # "file::test", a file alone, or "page: command" for one that the tests run there


NEEDS_SERVER = Elsewhere(
    "needs a team's tracking server",
    "tests/team/test_team_server.py::"
    "test_data_runs_and_models_go_to_the_server_and_come_back_in_another_clone",
)
REPRODUCED = Elsewhere(
    "needs a version whose code is committed",
    "tests/e2e/test_reproduce.py::"
    "test_the_old_version_gives_its_scores_again_and_the_working_tree_stays_as_it_is",
)
SERVED = Elsewhere(
    "needs Prefect's server and a worker",
    "tests/flows/test_flows_served.py::test_a_run_by_hand_has_its_overrides_and_leaves_params_yaml_as_it_was",
)

COVERED: dict[tuple[str, str], Elsewhere] = {
    ("README.md", "make repro"): Elsewhere(
        "run once, on a corpus of one's own", "docs/your_corpus.md: make repro"
    ),
    ("README.md", "make test"): Elsewhere("would run these tests in these tests", ".ci/run"),
    ("README.md", "make ui"): Elsewhere(
        "does not end by itself",
        "tests/test_makefile.py::test_ui_serves_the_store_on_loopback_and_leaves_nothing_behind",
    ),
    ("README.md", ".venv/bin/torchrun --standalone --nproc-per-node 2 -m revela train"): Elsewhere(
        "run once, on the page of several GPUs",
        "docs/several_gpus.md: .venv/bin/torchrun --standalone --nproc-per-node 2 -m revela train",
    ),
    ("docs/evaluation.md", "revela mteb NanoBEIR --name my-team/my-retriever"): Elsewhere(
        "downloads thirteen data sets",
        "tests/evaluation/test_mteb.py::test_mtebs_own_evaluation_gives_our_score_in_its_own_files",
    ),
    ("docs/mlflow.md", "make ui"): Elsewhere(
        "does not end by itself",
        "tests/test_makefile.py::test_ui_serves_the_store_on_loopback_and_leaves_nothing_behind",
    ),
    ("README.md", ".venv/bin/revela ablate halves contrastive-longer --seeds 0,1,2"): Elsewhere(
        "the same in another order",
        "docs/ablations.md: .venv/bin/revela ablate contrastive-longer halves --seeds 0,1,2",
    ),
    ("README.md", "make serve"): Elsewhere(
        "does not end by itself",
        "tests/test_makefile.py::test_serve_has_both_pages_and_all_deployments_and_ends_with_everything",
    ),
    ("README.md", ".venv/bin/revela reproduce @champion"): REPRODUCED,
    ("README.md", ".venv/bin/revela rollback"): Elsewhere(
        "there is one champion only; run on the page of promotion",
        "docs/promotion.md: .venv/bin/revela rollback",
    ),
    ("docs/promotion.md", ".venv/bin/revela reproduce 3"): REPRODUCED,
    ("docs/team_server.md", EVERYTHING): NEEDS_SERVER,
    ("docs/mlflow.md", "export MLFLOW_TRACKING_URI=https://mlflow.example.org"): NEEDS_SERVER,
    ("docs/mlflow.md", "make repro"): NEEDS_SERVER,
    ("docs/schedules.md", "make serve"): Elsewhere(
        "does not end by itself",
        "tests/test_makefile.py::test_serve_has_both_pages_and_all_deployments_and_ends_with_everything",
    ),
    ("docs/schedules.md", "export PREFECT_API_URL=http://127.0.0.1:4200/api"): SERVED,
    ("docs/schedules.md", "prefect deployment run pipeline/on-demand"): SERVED,
    (
        "docs/schedules.md",
        "prefect deployment run pipeline/on-demand "
        """--params '{"overrides": {"training.phases.0.steps": 120}, "promote": false}'""",
    ): SERVED,
    (
        "docs/schedules.md",
        """prefect deployment run pipeline/on-demand --params '{"targets": ["evaluate", "report"]}'""",
    ): SERVED,
    ("docs/schedules.md", ".venv/bin/revela rollback"): Elsewhere(
        "run once, on the page of promotion", "docs/promotion.md: .venv/bin/revela rollback"
    ),
    ("docs/schedules.md", '.venv/bin/revela promote 7 --reason "demo"'): Elsewhere(
        "run once, on the page of promotion",
        'docs/promotion.md: .venv/bin/revela promote 3 --reason "demo on Friday"',
    ),
    ("docs/several_gpus.md", "yaml 2"): Elsewhere(
        "another training than the page's first one", "tests/training/test_several_processes.py"
    ),
    (
        "docs/several_gpus.md",
        ".venv/bin/torchrun --nnodes 2 --nproc-per-node 4 --rdzv-backend c10d --rdzv-endpoint NAME:29500 "
        "--rdzv-id 1 -m revela train",
    ): Elsewhere("needs two machines", "tests/training/test_several_processes.py"),
    ("docs/training.md", ".venv/bin/revela check"): Elsewhere(
        "opens data sets of the hub, Wikipedia's among them", "tests/test_presets.py"
    ),
}
