"""What a language model is told, and what of its answer is the question."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from revela.settings import GeneratedSettings

_ASKED_FOR = "Question:"


def prompt_of(passage: str, settings: GeneratedSettings, tokenizer: PreTrainedTokenizerBase) -> str:
    """The examples and then the passage, its question left open.

    A model with a chat template reads them as a conversation; another one as a text that goes on.

    Args:
        passage: cut to `settings.passage_tokens` of the tokenizer.
    """
    cut = tokenizer(passage, add_special_tokens=False, truncation=True, max_length=settings.passage_tokens)
    passage = str(tokenizer.decode(cut["input_ids"], skip_special_tokens=True)).strip()
    examples = [(example.passage, example.question) for example in settings.examples]
    if tokenizer.chat_template is None:
        shown = [_plain(text, question) for text, question in [*examples, (passage, "")]]
        return "\n\n".join([settings.instruction, *shown]).rstrip()
    messages: list[dict[str, str]] = []
    for text, question in [*examples, (passage, "")]:
        messages.append({"role": "user", "content": f"{settings.instruction}\n\n{text}"})
        messages.append({"role": "assistant", "content": question})
    prompt = tokenizer.apply_chat_template(messages[:-1], tokenize=False, add_generation_prompt=True)
    assert isinstance(prompt, str)
    return prompt


def question_of(answer: str) -> str:
    """The first line that says something, without what models like to put around it."""
    lines: Sequence[str] = [line.strip() for line in answer.splitlines()]
    first = next((line for line in lines if line), "")
    return first.removeprefix(_ASKED_FOR).strip().strip("\"'“”*").strip()


def _plain(passage: str, question: str) -> str:
    return f"Text: {passage}\n{_ASKED_FOR} {question}"
