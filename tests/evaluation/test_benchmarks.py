import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from test_benchmark_beir import write

from revela.errors import RevelaError
from revela.evaluation.benchmarks import LOADERS, Benchmark, load_benchmark, protected_texts
from revela.settings import ClassesBenchmark, DocstringsBenchmark, ErrorsBenchmark, EvaluateSettings


def test_every_kind_of_the_settings_has_a_loader():
    assert set(LOADERS) == {"beir", "classes", "docstrings", "errors"}


def test_importing_benchmarks_does_not_import_torch():
    code = "import sys, revela.evaluation.benchmarks; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"corpus": {}}, "0 documents"),
        ({"queries": {}}, "0 queries"),
        ({"qrels": {}}, "lacks its text or its judgements"),
        ({"qrels": {"q": {"gone": 1}}}, "document 'gone', judged for query 'q', is not in the corpus"),
        ({"qrels": {"q": {"d": 0}}}, "query 'q' has no relevant document"),
    ],
)
def test_incoherent_benchmarks_are_refused(change: dict, message: str):
    sound = Benchmark("toy", {"d": "text"}, {"q": "text"}, {"q": {"d": 1}}, description="", code=False)
    assert sound.check() is sound
    with pytest.raises(RevelaError, match=message):
        replace(sound, **change).check()


@pytest.mark.parametrize("kind", [DocstringsBenchmark, ClassesBenchmark, ErrorsBenchmark])
def test_the_halves_of_a_built_in_benchmark_share_no_source_file(kind):
    name = kind.__name__.removesuffix("Benchmark").lower()
    whole, dev, test = (load_benchmark(kind(kind=name, half=half)) for half in (None, "dev", "test"))
    files = [{key.partition(":")[0] for key in half.corpus} for half in (dev, test)]
    assert files[0].isdisjoint(files[1])
    assert whole.corpus == dict(sorted((dev.corpus | test.corpus).items()))
    assert 0.35 < len(dev.queries) / len(whole.queries) < 0.65
    assert f"{len(dev.queries)} pairs of the dev half" in dev.description
    assert load_benchmark(kind(kind=name, half="dev", limit=7)).corpus.items() <= dev.corpus.items()


def test_protected_texts_are_queries_and_judged_documents(tmp_path: Path):
    settings = EvaluateSettings(benchmarks=[write(tmp_path)])
    assert protected_texts(settings) == ["Wings lift and drag", "no title at all", "what is lift"]


@pytest.mark.parametrize("part", [{"limit": 10}, {"half": "test"}])
def test_protected_texts_ignore_a_limit_and_a_half(part):
    limited = DocstringsBenchmark(kind="docstrings", **part)
    protected = protected_texts(EvaluateSettings(benchmarks=[limited]))
    whole = load_benchmark(DocstringsBenchmark(kind="docstrings"))
    assert set(protected) == set(whole.corpus.values()) | set(whole.queries.values())
    assert len(set(protected)) == len(protected)
