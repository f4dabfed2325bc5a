"""Retrieval tasks of mteb as benchmarks: its data, our models, baselines and statistics.

Muennighoff et al., MTEB: Massive Text Embedding Benchmark (EACL 2023). Results in mteb's own format, for its
leaderboard, come from :mod:`revela.evaluation.leaderboard`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from revela.errors import RevelaError
from revela.evaluation.benchmarks.base import Benchmark
from revela.settings import MtebBenchmark

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask, AbsTaskRetrieval


def tasks_of(names: list[str]) -> list[AbsTask]:
    """The retrieval tasks that names of tasks or of whole benchmarks (BEIR, CoIR, BRIGHT, NanoBEIR) mean.

    A task of several, such as CQADupstack, stays one.

    Raises:
        RevelaError: mteb is not installed, or knows no such name, or the name is no retrieval task.
    """
    mteb = _mteb()
    from mteb.abstasks import AbsTaskRetrieval
    from mteb.abstasks.aggregated_task import AbsTaskAggregate

    tasks: list[Any] = []
    for name in names:
        known = {benchmark.name: benchmark for benchmark in mteb.get_benchmarks()}
        if name in known:
            tasks += list(known[name].tasks)
            continue
        try:
            tasks.append(mteb.get_task(name))
        except KeyError as fault:
            raise RevelaError(
                f"mteb has no task and no benchmark '{name}': {fault.args[0]}\n"
                'Names of benchmarks: BEIR, CoIR, BRIGHT, NanoBEIR; of tasks: `python -c "import mteb; '
                "print([task.metadata.name for task in mteb.get_tasks(task_types=['Retrieval'])])\"`."
            ) from None
    for task in tasks:
        parts = task.tasks if isinstance(task, AbsTaskAggregate) else [task]
        if not all(isinstance(part, AbsTaskRetrieval) for part in parts):
            raise RevelaError(
                f"mteb's '{task.metadata.name}' is a {task.metadata.type} task, no retrieval task."
            )
    return tasks


def load(settings: MtebBenchmark) -> list[Benchmark]:
    """One benchmark for every task, split and subset that the name means, or for those asked for.

    Raises:
        RevelaError: as :func:`tasks_of`; the data is neither in the cache nor to be had; no such subset.
    """
    return [
        benchmark
        for task in tasks_of([settings.name])
        for part in getattr(task, "tasks", None) or [task]
        for benchmark in benchmarks_of(part, settings.subset, settings.code)
    ]


def benchmarks_of(
    task: AbsTaskRetrieval, subset: str | None = None, code: bool | None = None
) -> list[Benchmark]:
    """A task's data; a document is its title, a space and its text, as in mteb.

    Args:
        subset: only this one of the task; None is all.
        code: documents are code; None is yes for languages that mteb marks as code.
    """
    name, source = task.metadata.name, task.metadata.dataset
    try:
        task.load_data()
    except Exception as fault:  # datasets, huggingface_hub and requests each have errors of their own
        raise RevelaError(
            f"benchmark '{name}': its data ({source['path']}, revision {source['revision']}) cannot be read: "
            f"{type(fault).__name__}: {str(fault).splitlines()[0] if str(fault) else ''}\n"
            "It comes from the Hugging Face hub on first use. Run once with a network (and without "
            "HF_HUB_OFFLINE), or copy the cache of a machine that has it and set HF_HOME."
        ) from fault
    if subset is not None and subset not in task.dataset:
        raise RevelaError(f"benchmark '{name}' has no subset '{subset}', but {', '.join(task.dataset)}.")
    if code is None:
        code = any(language.endswith("-Code") for language in task.metadata.languages)
    found = []
    for part, splits in task.dataset.items():
        if subset not in (None, part):
            continue
        for split, data in splits.items():
            label = "-".join(
                [name, *([part] if part != "default" else []), *([split] if len(splits) > 1 else [])]
            )
            found.append(_benchmark(label, split, data, code))
    return found


def _benchmark(name: str, split: str, data: Any, code: bool) -> Benchmark:
    judged = {
        query: {document: int(grade) for document, grade in grades.items()}
        for query, grades in data["relevant_docs"].items()
        if max(grades.values(), default=0) > 0
    }
    corpus = {row["id"]: f"{row.get('title') or ''} {row['text']}".strip() for row in data["corpus"]}
    queries = {row["id"]: row["text"] for row in data["queries"] if row["id"] in judged}
    return Benchmark(
        name=name,
        corpus=corpus,
        queries=queries,
        qrels={query: judged[query] for query in queries},
        description=f"mteb: {len(queries)} queries of split {split}, {len(corpus)} documents",
        code=code,
    )


def _mteb() -> Any:
    try:
        import mteb
    except ImportError as fault:
        raise RevelaError(
            "benchmarks of kind mteb need the package mteb: pip install -c constraints.txt -e '.[mteb]'"
        ) from fault
    return mteb
