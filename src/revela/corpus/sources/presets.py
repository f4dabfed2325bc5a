"""The corpora of the Revela paper (arXiv 2506.16552, section 4), by short names.

Where the columns come from: those of the three code-rag-bench data sets are what MTEB's CodeRAG tasks
and other public code read; Tevatron's are those of its toolkit; FineWeb-Edu's are its card's. None of
them was loaded while this was written (no network): `revela check` opens each and names a column that is
not there.

Tevatron/wikipedia-nq-corpus was published with a loading script, which `datasets` 4 and later does not
run. Should it be refused, download `corpus.jsonl.gz` from it and read that with `kind: files` and
`id_field: docid`; the message says so too.
"""

from __future__ import annotations

from revela.settings import HubSource, PresetSource

PRESETS: dict[str, HubSource] = {
    "wikipedia-nq": HubSource(
        kind="hub", name="Tevatron/wikipedia-nq-corpus", id_field="docid", title_field="title"
    ),
    "stackoverflow-posts": HubSource(kind="hub", name="code-rag-bench/stackoverflow-posts"),
    "online-tutorials": HubSource(kind="hub", name="code-rag-bench/online-tutorials", title_field="title"),
    "library-documentation": HubSource(
        kind="hub",
        name="code-rag-bench/library-documentation",
        text_field="doc_content",
        id_field="doc_id",
        title_field="doc_id",
    ),
    "fineweb-edu": HubSource(
        kind="hub",
        name="HuggingFaceFW/fineweb-edu",
        config="sample-10BT",
        id_field="id",
        metadata_fields=["url", "score"],
    ),
}


def hub_source(settings: PresetSource) -> HubSource:
    """The data set that a preset stands for, at its revision and limit."""
    return PRESETS[settings.name].model_copy(
        update={"revision": settings.revision, "limit": settings.limit, "weight": settings.weight}
    )
