"""Sections `objective` and `training`: the losses and the phases (stage train)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from revela.settings.base import Positive, Strict
from revela.settings.evaluate import BenchmarkSettings
from revela.settings.phases import Part, Phase


class ObjectiveSettings(Strict):
    """The maths of the losses; which of them is used when is the phases' business."""

    attention: Literal["paper", "joint"] = "joint"
    temperature: Annotated[float, Field(gt=0)] = 0.02
    v_norm: bool = True
    min_weight: Annotated[float, Field(ge=0, lt=1)] = 1e-6
    top_k: Positive | None = 4
    renormalise: bool = Field(False, description="weights of the chunks that are read sum to 1")
    uniform_share: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="share of a chunk's weight that is spread evenly over the others"
    )
    spread_penalty: Annotated[float, Field(ge=0)] = Field(
        0.0, description="added to the term revela: this much a nat of the weights' mean entropy"
    )
    symmetric: bool = Field(False, description="a pair's similarity is the mean of both directions")
    dual_loss: bool = Field(False, description="the plain stream's own loss is part of the term revela")
    gate: bool = Field(False, description="each layer of the language model learns how much it lets in")
    contrastive_temperature: Annotated[float, Field(gt=0)] = 0.05
    contrastive_symmetric: bool = Field(
        False, description="passages also have to find their queries: no passage may be near to all queries"
    )
    start_penalty: Annotated[float, Field(ge=0)] = Field(
        0.0,
        description="added wherever the retriever trains: so much times the mean of 1 - cosine between a "
        "text's embedding and the one that it had at the start",
    )
    replug_temperature: Annotated[float, Field(gt=0)] = 0.1
    replug_lm_temperature: Annotated[float, Field(gt=0)] = 0.1

    @model_validator(mode="after")
    def _coherent(self) -> ObjectiveSettings:
        if self.attention == "joint" and not self.v_norm:
            raise ValueError(
                "`v_norm: false` goes with `attention: paper`, found `attention: joint`, which has no "
                "V-normalisation to leave out; set `attention: paper` or take `v_norm` out"
            )
        return self


class LoraSettings(Strict):
    rank: Positive = 64
    alpha: Positive = 64
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    # A list names modules of Llama-like models; `all-linear` fits every architecture.
    targets: Annotated[list[str], Field(min_length=1)] | Literal["all-linear"] = Field(
        ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    )


class LoraByModel(Strict):
    """Adapters for each model by itself; null trains all of its weights."""

    retriever: LoraSettings | None
    lm: LoraSettings | None


def _names_models(value: object) -> str:
    keys = set(value) if isinstance(value, dict) else set()
    return "(each)" if isinstance(value, LoraByModel) or keys & set(LoraByModel.model_fields) else "(both)"


Lora = Annotated[
    Annotated[LoraSettings, Tag("(both)")] | Annotated[LoraByModel, Tag("(each)")],
    Discriminator(_names_models),
]


class WhiteningSettings(Strict):
    """The linear map after pooling that is fitted before the first phase (Su et al. 2021)."""

    chunks: Annotated[int, Field(ge=2)] = Field(
        2000, description="chunks it is fitted on, as queries and as passages"
    )
    floor: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.01, description="share of the largest variance that is added to every direction's"
    )


class ProbeSettings(Strict):
    """A small benchmark to watch the retriever by while it trains; it changes nothing that is learnt."""

    benchmark: BenchmarkSettings
    every: Positive = Field(20, description="steps from one measurement to the next")
    max_tokens: Annotated[int, Field(ge=8)] = Field(160, description="tokens kept of a text")


class ValidationSettings(Strict):
    """What decides which of a training's states is kept: no text that is trained on, and no labels needed."""

    benchmark: BenchmarkSettings | None = Field(
        None, description="a user's own questions; null: the pairs that `batches.pairs` holds out"
    )
    pairs: Annotated[int, Field(ge=10)] = Field(500, description="held-out pairs of each kind at most")
    every: Positive = Field(20, description="steps from one measurement to the next")
    max_tokens: Annotated[int, Field(ge=8)] = Field(160, description="tokens kept of a text")
    averages: list[Annotated[float, Field(gt=0, lt=1)]] = Field(
        [0.5], description="the best state is also tried averaged with the start, with these shares of it"
    )


class LmCheckSettings(Strict):
    """The language model's own perplexity before and after, on groups that training is kept from."""

    groups: Positive = Field(16, description="the last groups, held out")


IDENTIFIERS, TOKEN_WEIGHTS, WHITENED = "identifiers", "token_weights", "whitened"
"""What is done to a retriever before the first phase; also names of what it is then, in this order."""

_TAKEN = {
    "lm_check": "are the figures of that setting",
    "kept": "is what is said of the state kept",
    "beginning": "is what is said of what was done to the start",
    **dict.fromkeys((IDENTIFIERS, TOKEN_WEIGHTS, WHITENED), "is a state of the retriever before all phases"),
}
"""Names that no phase can have in reports, and what has them."""


class TrainingSettings(Strict):
    phases: Annotated[list[Phase], Field(min_length=1)]
    split_identifiers: bool | Literal["auto"] = Field(
        False,
        description="the retriever's tokenizer takes getName for two words; auto: where validation says that "
        "the start searches better so",
    )
    token_weights: Annotated[float, Field(gt=0, le=2)] | Literal["auto"] | None = Field(
        None,
        description="the retriever's mean weights tokens by their inverse document frequency in the chunks "
        "to the power of this; auto: of 0.5, where validation says that the start searches better so",
    )
    whitening: WhiteningSettings | None = None
    probe: ProbeSettings | None = None
    validation: ValidationSettings | None = None
    keep: Literal["best", "last"] = Field(
        "best", description="by `validation`, the start among the candidates; without it always the last"
    )
    lm_check: LmCheckSettings | None = None
    save_lm: bool = Field(False, description="also write models/lm, adapters merged")
    lora: Lora | None = Field(
        LoraSettings(), description="adapters of both models, or `{retriever: ..., lm: ...}`; null: none"
    )
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    max_passes: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="the retriever sees the corpus's pairs so many times at most, all phases together: these "
        "are shortened where their steps would be more; null: never",
    )
    groups_per_step: Positive = Field(
        1, description="groups of one optimizer step, over all processes together"
    )
    groups_per_forward: Positive | Literal["auto"] = Field(
        "auto",
        description="of these, how many a process takes through the models at once; auto: as many as a GPU's "
        "memory takes, one on a CPU. It changes the speed, not the result",
    )
    loader_workers: Annotated[int, Field(ge=0)] | Literal["auto"] = Field(
        "auto", description="processes that tokenise the next groups meanwhile; auto: one on a GPU, else none"
    )
    parallel: Literal["ddp", "fsdp"] = Field(
        "ddp", description="several processes: each holds the whole model (ddp), or a share of it (fsdp)"
    )
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    gradient_checkpointing: bool = False
    compile: bool = Field(
        False,
        description="the models' layers compiled by torch.compile: a minute at the start, then fewer, larger "
        "kernels. It changes the speed, and results by rounding",
    )
    gather_group: bool = Field(
        False, description="the groups of all processes are one: B x processes chunks read each other"
    )
    retriever_mini_batch: Positive | None = Field(
        None, description="texts the retriever encodes at a time, activations recomputed; null keeps all"
    )
    max_tokens: Annotated[int, Field(ge=8)] | None = Field(
        None, description="tokens that the retriever reads of a text while it trains; null: all that it can"
    )
    lm_max_tokens: Annotated[int, Field(ge=8)] = 160
    save_every: Positive = 50
    gain_every: Positive = Field(
        5, description="steps from one measurement of the plain loss, and so of the gain, to the next"
    )

    def before_phases(self) -> list[str]:
        """States of the retriever before the first phase that are made or tried, in their order."""
        return [name for name, value in self._before_phases().items() if value not in (None, False)]

    def is_tried(self, state: str) -> bool:
        """Whether validation decides about one of :meth:`before_phases`."""
        return self._before_phases()[state] == "auto"

    def _before_phases(self) -> dict[str, object]:
        return {
            IDENTIFIERS: self.split_identifiers,
            TOKEN_WEIGHTS: self.token_weights,
            WHITENED: self.whitening,
        }

    def lora_of(self, part: Part) -> LoraSettings | None:
        """The adapters of a model; None trains all of its weights."""
        return getattr(self.lora, part) if isinstance(self.lora, LoraByModel) else self.lora

    @model_validator(mode="after")
    def _phase_names_differ(self) -> TrainingSettings:
        names = [phase.name for phase in self.phases]
        if len(set(names)) != len(names):
            raise ValueError(f"`phases` must have different names, found {', '.join(names)}")
        if self.gather_group and any("replug" in phase.terms for phase in self.phases):
            raise ValueError("the term `replug` scores pairs within one process; set `gather_group: false`")
        if self.gather_group and any(phase.weights == "bm25" for phase in self.phases):
            raise ValueError("`weights: bm25` compares chunks of one process; set `gather_group: false`")
        if self.parallel == "fsdp" and any(phase.negatives == "step" for phase in self.phases):
            raise ValueError("`negatives: step` needs whole models in each process; set `parallel: ddp`")
        if self.compile and self.parallel == "fsdp":
            raise ValueError("`compile` has not been made to work with sharded weights; set `parallel: ddp`")
        if self.probe is not None and self.parallel == "fsdp":
            raise ValueError("`probe` needs the whole retriever in one process; set `parallel: ddp`")
        if self.validation is not None and self.parallel == "fsdp":
            raise ValueError("`validation` needs the whole retriever in one process; set `parallel: ddp`")
        for name in names:
            if name in _TAKEN:
                raise ValueError(f"a phase is named `{name}`, as {_TAKEN[name]}; rename it")
        for key, otherwise in (("split_identifiers", "true or false"), ("token_weights", "0.5 or null")):
            if getattr(self, key) == "auto" and self.validation is None:
                raise ValueError(
                    f"`{key}: auto` is decided by `validation`; set that, or say {otherwise} instead"
                )
        return self
