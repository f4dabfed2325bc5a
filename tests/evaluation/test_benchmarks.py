import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from test_benchmark_beir import write

from revela.errors import RevelaError
from revela.evaluation.benchmarks import LOADERS, Benchmark, load_benchmark, protected_texts
from revela.settings import DocstringsBenchmark, EvaluateSettings


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


def test_protected_texts_are_queries_and_judged_documents(tmp_path: Path):
    settings = EvaluateSettings(benchmarks=[write(tmp_path)])
    assert protected_texts(settings) == ["Wings lift and drag", "no title at all", "what is lift"]


def test_protected_texts_ignore_a_limit():
    limited = DocstringsBenchmark(kind="docstrings", limit=10)
    protected = protected_texts(EvaluateSettings(benchmarks=[limited]))
    whole = load_benchmark(DocstringsBenchmark(kind="docstrings"))
    assert set(protected) == set(whole.corpus.values()) | set(whole.queries.values())
    assert len(set(protected)) == len(protected)
