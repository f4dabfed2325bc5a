"""Key `batches.pairs.generated`: questions that a language model writes (stage build_batches)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from revela.settings.backbone import ModelSource
from revela.settings.base import Positive, Strict

Text = Annotated[str, Field(min_length=1)]


class QuestionExample(Strict):
    """A passage, and what somebody would ask who looks for it."""

    passage: Text
    question: Text


_EXAMPLES = [
    QuestionExample(
        passage="Water boils at a lower temperature on a mountain, because the air presses on it less: at "
        "3000 metres at about 90 degrees Celsius. Potatoes therefore take longer to cook there.",
        question="Why does food take longer to cook at high altitude?",
    ),
    QuestionExample(
        passage="By default the server keeps a connection open for 60 seconds after the last request. Set "
        "keepalive_timeout to 0 to close it at once, or raise it where clients come back often.",
        question="How long does the server keep idle connections open?",
    ),
]


class GeneratedSettings(Strict):
    """Few-shot questions, as InPars has them (arXiv 2202.05144), in the place that they have in GPL."""

    model: ModelSource | None = Field(None, description="any causal language model; null: backbone.lm")
    passages: Positive = Field(1000, description="so many, drawn from the whole corpus, get a question each")
    found_within: Positive | None = Field(
        5,
        description="keep a question if the untrained retriever finds its passage among so many first ones "
        "of all that were asked about; null keeps all",
    )
    instruction: Text = (
        "Write one short question that a person would type into a search engine and that the text answers."
    )
    examples: list[QuestionExample] = Field(
        _EXAMPLES, description="shown to the model before each passage; of your own text they work better"
    )
    passage_tokens: Annotated[int, Field(ge=16)] = Field(192, description="read of a passage")
    question_tokens: Annotated[int, Field(ge=4)] = 32
    temperature: Annotated[float, Field(ge=0)] = Field(0.7, description="0: always the likeliest word")
    top_p: Annotated[float, Field(gt=0, le=1)] = 0.95
    batch_size: Positive = 16
