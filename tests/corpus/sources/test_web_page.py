"""A page's main text: code as it stands, lists kept, navigation gone."""

from __future__ import annotations

import time

import pytest

from revela.corpus.sources.web_page import TooDeepError, text_of_fragment, text_of_page

PAGE = """<!doctype html><html><head><title>Using
  &lt;f&gt;</title><style>p {}</style><script>var x = 1</script></head><body>
<header>Site name</header><nav><a href="/">Home</a></nav><div class="sidebar">Contents</div>
%s
<footer>Copyright</footer></body></html>"""
BODY = """<h1>Using f</h1><p>First   line
goes on.</p><ul><li>one</li><li>two</li></ul>
<pre><code class="python"><span>def</span> f(x):
    if x &lt; 3:

\treturn 1
</code></pre><table><tr><td>a</td><td>b</td></tr></table>"""
TEXT = """Using f

First line goes on.

  • one
  • two
def f(x):
    if x < 3:

\treturn 1
a\t\tb"""


@pytest.mark.parametrize("around", ["<main>%s</main>", '<div role="main">%s</div>', "%s"])
def test_the_main_text_is_kept_with_its_lists_and_code(around: str) -> None:
    title, text = text_of_page(PAGE % (around % BODY))
    assert title == "Using <f>"
    assert text.strip() == TEXT


def test_a_fragment_is_all_content() -> None:
    text = text_of_fragment("<p>Use <code>f</code>:</p><pre><code>f(\n  1)</code></pre><footer>end</footer>")
    assert text == "Use f:\n\nf(\n  1)\nend"


@pytest.mark.parametrize("html", ["", "   ", "<br>", "<title>x</title>"])
def test_a_page_without_text_is_empty(html: str) -> None:
    assert not text_of_page(html)[1].strip()


@pytest.mark.parametrize("html", ["<div>" * 200_000, "<b>" * 200_000, "<ul><li>" * 200_000])
def test_a_page_nested_without_end_is_refused_at_once(html: str) -> None:
    start = time.monotonic()
    with pytest.raises(TooDeepError, match="nested more than 1000 deep"):
        text_of_page(html)
    assert time.monotonic() - start < 2


def test_end_tags_that_may_be_left_out_are_no_nesting() -> None:
    html = "<p>text<br><img>" * 5000 + "<table>" + "<tr><td>x" * 5000
    assert text_of_page(html)[1].count("text") == 5000
