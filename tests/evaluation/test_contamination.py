import pytest

from revela.errors import RevelaError
from revela.evaluation.benchmarks import Benchmark
from revela.evaluation.contamination import MIN_WORDS, assert_uncontaminated

LONG = "def area(self):\n    w = self.width\n    h = self.height\n    d = self.depth\n    return w * h * d"
UNJUDGED = (
    "an unjudged document with quite a number of words so that it would be looked for if it were judged"
)
SHORT = "def name(self):\n    return self._name"
BENCHMARK = Benchmark(
    "toy",
    corpus={"long": LONG, "short": SHORT, "unjudged": UNJUDGED},
    queries={"q": "surface"},
    qrels={"q": {"long": 1, "short": 1}},
    description="",
    code=True,
)


def test_a_contained_document_is_reported_whatever_the_white_space():
    inside = "class Shape:\n" + LONG.replace("\n", "\n\n    ") + "\n    x = 1"
    with pytest.raises(RevelaError) as caught:
        assert_uncontaminated([BENCHMARK], iter(["harmless", inside]))
    message = str(caught.value)
    assert "1 training text(s) contain 1 benchmark document(s)" in message
    assert "training text 1 contains document 'long' of benchmark 'toy': 'def area(self):" in message
    assert "corpus.decontamination.words" in message


def test_parts_short_documents_and_unjudged_documents_are_no_contamination():
    assert len(SHORT.split()) < MIN_WORDS
    assert_uncontaminated([BENCHMARK], [LONG[:-3], SHORT, UNJUDGED, ""])
    assert_uncontaminated([BENCHMARK], [])


def test_all_benchmarks_are_looked_for_in_one_pass():
    other = Benchmark("other", {"u": UNJUDGED}, {"q": "x"}, {"q": {"u": 1}}, description="", code=False)
    with pytest.raises(RevelaError, match=r"2 training text\(s\) contain 2 benchmark document"):
        assert_uncontaminated([BENCHMARK, other], (text for text in [LONG, UNJUDGED]))
