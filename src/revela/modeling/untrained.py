"""An untrained retriever from a plain transformers folder."""

from __future__ import annotations

from pathlib import Path

from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling
from tokenizers import processors
from transformers import AutoConfig, PreTrainedConfig, PreTrainedTokenizerBase
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

from revela.errors import RevelaError
from revela.modeling.encoder import tokenizer_of, transformer_of
from revela.modeling.tokenizer_files import forget_loading
from revela.settings import RetrieverSource

POOLING, MAX_TOKENS = "lasttoken", 512
QUERY_PROMPT, PASSAGE_PROMPT = "query: ", "passage: "
"""The paper's, for a bare language model, where the settings say nothing else."""


def build_retriever(model_dir: Path, source: RetrieverSource) -> SentenceTransformer:
    """An untrained retriever from a plain transformers folder.

    Prompts are stored under ``query`` and ``document``: with any other key sentence-transformers
    encodes documents without a prefix and says nothing. With ``lasttoken`` pooling the tokenizer
    itself ends every text, truncated or not, with ``<eos>``.

    Raises:
        RevelaError: the tokenizer has no end-of-sequence token to pool at, or the pooling does not suit
            the model.
    """
    pooling = source.pooling or POOLING
    _check_pooling(model_dir, pooling)
    transformer = Transformer(
        str(model_dir),
        max_seq_length=source.max_tokens or MAX_TOKENS,
        modality_config={"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
        module_output_name="token_embeddings",
    )
    tokenizer = transformer.tokenizer
    assert tokenizer is not None  # only models of other things than text lack one
    # Left alone, sentence-transformers sends every text through a tokenizer's chat template, the prompt
    # as a system message: most tokens would be the template's, and the pooled one not `<eos>`.
    tokenizer.chat_template = None
    forget_loading(tokenizer)
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise RevelaError(
                f"backbone.retriever '{source.name}': its tokenizer has neither a pad nor an eos token, so "
                "texts of unequal length cannot be encoded together. Set `pad_token` in its "
                "tokenizer_config.json."
            )
        tokenizer.pad_token = tokenizer.eos_token
    if pooling == "lasttoken":
        _end_with_eos(tokenizer, model_dir)
    width = transformer.get_embedding_dimension()
    retriever = SentenceTransformer(
        modules=[transformer, Pooling(width, pooling), Normalize()],
        prompts={
            "query": QUERY_PROMPT if source.query_prompt is None else source.query_prompt,
            "document": PASSAGE_PROMPT if source.passage_prompt is None else source.passage_prompt,
        },
        similarity_fn_name="cosine",
        device="cpu",
    )
    _check_tokens(retriever, model_dir)
    return retriever


def _check_pooling(model_dir: Path, pooling: str) -> None:
    """The last token of a causal model has read all others; the first one of an encoder has."""
    encoder = is_encoder(AutoConfig.from_pretrained(model_dir))
    if not encoder and pooling == "cls":
        raise RevelaError(
            f"backbone.retriever.pooling is cls, but the model in {model_dir} is causal: its first token "
            "sees nothing of the text. Use `lasttoken` or `mean`."
        )
    if encoder and pooling == "lasttoken":
        raise RevelaError(
            f"backbone.retriever.pooling is lasttoken, but the model in {model_dir} is an encoder, trained "
            "with `mean` or `cls`. Use one of these."
        )


def is_encoder(config: PreTrainedConfig) -> bool:
    """Whether a model reads in both directions: transformers trains its type on masked tokens."""
    return config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES


def _check_tokens(retriever: SentenceTransformer, where: Path) -> None:
    """What is encoded must be prompt + text (+ special tokens), nothing that a library slipped in."""
    prompt = retriever.prompts["query"]
    tokenizer = tokenizer_of(retriever)
    found = transformer_of(retriever).preprocess(["a text"], prompt=prompt)["input_ids"][0].tolist()
    wanted = tokenizer(f"{prompt}a text").input_ids
    if found != wanted:
        raise RevelaError(
            f"{where}: sentence-transformers encodes 'a text' as {tokenizer.decode(found)!r}, "
            f"expected {tokenizer.decode(wanted)!r}; this model cannot be used as a retriever."
        )


def _end_with_eos(tokenizer: PreTrainedTokenizerBase, where: Path) -> None:
    """Make the tokenizer's own post-processor append ``<eos>``.

    Setting ``add_eos_token`` is silently ignored by many tokenizers; a post-processor is saved in
    tokenizer.json and leaves room for the token when it truncates.
    """
    eos = tokenizer.eos_token
    if eos is None:
        raise RevelaError(
            f"{where}: the tokenizer has no eos token, which `pooling: lasttoken` reads. Use `mean`."
        )
    if tokenizer("a").input_ids[-1] == tokenizer.eos_token_id:
        return
    backend = tokenizer.backend_tokenizer
    append = processors.TemplateProcessing(
        single=f"$A {eos}", pair=f"$A $B:1 {eos}:1", special_tokens=[(eos, tokenizer.eos_token_id)]
    )
    before = backend.post_processor
    backend.post_processor = append if before is None else processors.Sequence([before, append])
    if tokenizer("a").input_ids[-1] != tokenizer.eos_token_id:
        raise RevelaError(
            f"{where}: this tokenizer cannot be made to append its eos token. Use `pooling: mean`."
        )
