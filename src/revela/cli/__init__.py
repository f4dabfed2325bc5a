"""The command line: one thin verb a stage, plus `check`, `preset`, `ablate`, `register` and `bench`.

Heavy libraries are imported inside the verbs, so that ``--help`` and a faulty params.yaml answer at
once. A fault that the user can mend is printed without a traceback and ends with exit code 1.
"""

from __future__ import annotations

import gc
import os
import signal
import sys

from rich.console import Console
from rich.markup import escape

from revela.cli import check, experiments, presets, registry, stages, tracking
from revela.cli.app import app, rank
from revela.errors import RevelaError

# In the order in which `--help` lists them.
for _verb in (
    check.check,
    presets.preset,
    stages.prepare_backbone,
    stages.filter_corpus,
    stages.build_batches,
    stages.train,
    stages.evaluate,
    stages.report,
    experiments.ablate,
    experiments.mteb,
    registry.register,
    registry.promote,
    registry.lineage,
    registry.reproduce,
    registry.rollback,
    tracking.send_unsent,
):
    app.command()(_verb)
# Whatever follows `bench`, `--help` too, is the benchmark's own.
app.command(
    add_help_option=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True}
)(experiments.bench)


def main() -> None:
    """Entry point of the console script.

    Exit codes: 0 done, 1 a fault that the message says how to mend, 2 wrong usage, 130 interrupted,
    143 ended by SIGTERM.
    """
    # Imports make millions of objects that stay; looking for garbage among them is a part of the seconds
    # before a verb begins (bench/start_up.py).
    gc.set_threshold(100_000, 20, 100)
    # As an exception, so that what is open is closed: an MLflow run would be shown as running for ever.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        app()
    except RevelaError as fault:
        # Escaped: messages quote what the user wrote, and rich would read its brackets as markup.
        who = f" (process {rank()})" if "RANK" in os.environ else ""
        Console(stderr=True, highlight=False).print(
            f"[bold red]error{who}:[/] {escape(str(fault))}", soft_wrap=True
        )
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
