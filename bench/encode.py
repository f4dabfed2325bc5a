"""Encoding for evaluation against sentence-transformers' own `encode`, the same texts and weights.

``python -m bench.encode`` prints the ratio and writes bench/results/encode.md. Both encode all texts once a
turn, taking turns in one process; what is compared is what surrounds the model: order, slices, checks and
precision.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from sentence_transformers import SentenceTransformer

from bench.inputs import prepare_models, source_files
from bench.machine import describe_machine, machine_line
from bench.tables import publish
from bench.turns import by_turns, clocked
from revela.evaluation.encoding import encode
from revela.evaluation.loading import load_encoder
from revela.modeling.precision import resolve_dtype


def texts_of(count: int) -> list[str]:
    """Paragraphs of the standard library's modules: lengths as uneven as those of real documents."""
    found: list[str] = []
    for file in source_files():
        found += [part for part in file.read_text(encoding="utf-8").split("\n\n") if part.strip()]
        if len(found) >= count:
            return found[:count]
    return found


def main(
    count: Annotated[int, typer.Option(help="Texts.")] = 512,
    layers: Annotated[int, typer.Option(help="Layers of SmolLM2-135M that are kept.")] = 9,
    max_tokens: Annotated[int, typer.Option(help="Tokens kept of a text.")] = 160,
    batch_size: Annotated[int, typer.Option(help="Texts encoded together.")] = 32,
    repeats: Annotated[int, typer.Option(help="Turns of each.")] = 3,
    random: Annotated[bool, typer.Option(help="Random weights.")] = False,
    out: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("bench/results"),
) -> None:
    """Measure texts a second of both, and the memory that each takes."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = resolve_dtype("auto", device)
    texts = texts_of(count)
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder) / "models"
        origin = prepare_models(models, layers, random=random)
        ours = load_encoder(models / "retriever", max_tokens=max_tokens, device=device)
        theirs = SentenceTransformer(
            str(models / "retriever"), device=device, model_kwargs={"dtype": dtype}, local_files_only=True
        )
    theirs.max_seq_length = max_tokens

    def by_us() -> np.ndarray:
        return encode(ours, texts, "document", batch_size, "encoding")

    def by_them() -> np.ndarray:
        return theirs.encode_document(
            texts, batch_size=batch_size, convert_to_tensor=True, show_progress_bar=False
        ).float().cpu().numpy()  # fmt: skip

    methods = {"sentence-transformers": clocked(by_them), "revela": clocked(by_us)}
    found = by_turns(methods, repeats, torch.device(device))
    reference, revela = found.values()
    agreement = float((revela.given * reference.given).sum(axis=1).min())
    assert agreement > 0.99, agreement
    rows = "".join(
        f"| {name} | {len(texts) / one.seconds:.1f} | {one.memory / 2**20:.0f} |\n"
        for name, one in found.items()
    )
    faster, memory = reference.seconds / revela.seconds, revela.memory / reference.memory
    where = machine_line(describe_machine(torch.device(device), dtype))
    text = (
        "# Encoding\n\n"
        f"{len(texts)} texts cut at {max_tokens} tokens, batches of {batch_size}, {layers} layers "
        f"({origin}); median of {repeats} turns each. "
        f"Smallest cosine between both vectors of a text: {agreement:.4f}.\n\n"
        "| | texts a second | memory, MiB |\n|---|---:|---:|\n"
        f"{rows}| ratio | {faster:.2f} | {memory:.2f} |\n\n{where}\n"
    )
    publish(text, out, "encode")


if __name__ == "__main__":
    typer.run(main)
