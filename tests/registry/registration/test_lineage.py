"""What a registered version says of where it comes from."""

from __future__ import annotations

import pytest
from registering import SETTINGS

from revela.errors import RevelaError
from revela.registry.lineage import lineage


@pytest.mark.usefixtures("first")
def test_lineage_names_commit_hashes_settings_and_scores() -> None:
    lines = lineage(SETTINGS, "@champion").splitlines()
    assert lines[0] == "revela-retriever version 1 (@challenger, @champion)"
    assert "  abc.dir  data/documents" in lines
    assert "  docstrings: mrr_at_10 0.3000, ndcg_at_10 0.5000" in lines
    assert "  seed: 0" in lines
    assert any(line.startswith("  commit    ") for line in lines)
    assert lineage(SETTINGS, "1").splitlines() == lines
    with pytest.raises(RevelaError, match="has no version 7"):
        lineage(SETTINGS, "7")
    with pytest.raises(RevelaError, match="has no @previous"):
        lineage(SETTINGS, "@previous")
