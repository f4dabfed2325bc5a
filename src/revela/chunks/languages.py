"""Functions and classes of many languages, by tree-sitter: one row of the table a language."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from tree_sitter import Language, Node, Parser

MAX_ERROR_SHARE = 0.1
"""Of a text's bytes that may stand in what does not parse; above, its structure is not to be trusted."""

_COMMENTS = frozenset({"comment", "line_comment", "block_comment", "attribute_item", "decorator"})

# A word or two before the function or class that they hold, and already its beginning.
_WRAPPERS = frozenset({"export_statement", "template_declaration"})


@dataclass(frozen=True)
class Grammar:
    """Which nodes of a syntax tree are chunks of their own.

    Attributes:
        module: package of the grammar, and its function.
        blocks: types of functions, methods and classes.
        containers: types whose children are looked at as well: bodies of classes, name spaces.
    """

    module: str
    function: str
    blocks: frozenset[str]
    containers: frozenset[str]


def _grammar(module: str, blocks: str, containers: str, function: str = "language") -> Grammar:
    return Grammar(module, function, frozenset(blocks.split()), frozenset(containers.split()))


_JS_BLOCKS = (
    "function_declaration generator_function_declaration class_declaration method_definition export_statement"
)
_JS_CONTAINERS = "program class_declaration class_body export_statement"
_TS_BLOCKS = (
    f"{_JS_BLOCKS} abstract_class_declaration interface_declaration enum_declaration type_alias_declaration "
    "internal_module module"
)
_TS_CONTAINERS = (
    f"{_JS_CONTAINERS} abstract_class_declaration internal_module module statement_block expression_statement"
)
_C_BLOCKS = "function_definition struct_specifier union_specifier enum_specifier type_definition"
_C_CONTAINERS = "translation_unit preproc_if preproc_ifdef preproc_else preproc_elif"

JAVASCRIPT = _grammar("tree_sitter_javascript", _JS_BLOCKS, _JS_CONTAINERS)
TYPESCRIPT = _grammar("tree_sitter_typescript", _TS_BLOCKS, _TS_CONTAINERS, "language_typescript")
TSX = _grammar("tree_sitter_typescript", _TS_BLOCKS, _TS_CONTAINERS, "language_tsx")
JAVA = _grammar(
    "tree_sitter_java",
    "class_declaration interface_declaration enum_declaration record_declaration method_declaration "
    "constructor_declaration annotation_type_declaration",
    "program class_declaration interface_declaration enum_declaration record_declaration class_body "
    "interface_body enum_body enum_body_declarations",
)
GO = _grammar("tree_sitter_go", "function_declaration method_declaration type_declaration", "source_file")
RUST = _grammar(
    "tree_sitter_rust",
    "function_item struct_item enum_item union_item trait_item impl_item mod_item macro_definition "
    "function_signature_item",
    "source_file impl_item trait_item mod_item declaration_list",
)
C = _grammar("tree_sitter_c", _C_BLOCKS, _C_CONTAINERS)
CPP = _grammar(
    "tree_sitter_cpp",
    f"{_C_BLOCKS} class_specifier template_declaration namespace_definition",
    f"{_C_CONTAINERS} namespace_definition declaration_list linkage_specification class_specifier "
    "struct_specifier field_declaration_list template_declaration",
)

# Kind of a document (a file's suffix without its dot, or a language's name) -> grammars, of which the one
# that understands most is used.
GRAMMARS: dict[str, tuple[Grammar, ...]] = {
    **dict.fromkeys(("js", "jsx", "mjs", "cjs", "javascript"), (JAVASCRIPT,)),
    **dict.fromkeys(("ts", "mts", "cts", "typescript"), (TYPESCRIPT,)),
    "tsx": (TSX,),
    "java": (JAVA,),
    "go": (GO,),
    **dict.fromkeys(("rs", "rust"), (RUST,)),
    "c": (C,),
    "h": (C, CPP),
    **dict.fromkeys(("cc", "cpp", "cxx", "c++", "hpp", "hh", "hxx"), (CPP,)),
}


def code_blocks(text: str, kind: str) -> list[int]:
    """Where functions, methods and classes begin, and what follows them; comments above belong to them.

    Returns:
        Ascending positions of characters; none for a kind without a grammar, or a text of which more than
        :data:`MAX_ERROR_SHARE` does not parse.
    """
    if kind not in GRAMMARS:
        return []
    content = text.encode()
    parsed = parsed_best(content, kind)
    return [] if parsed is None else _characters(sorted(set(_starts(*parsed))), content)


def parsed_best(content: bytes, kind: str) -> tuple[Node, Grammar] | None:
    """The tree by the grammar of `kind` that understands most; None where even that is too little."""
    parsed = [(_parser(grammar).parse(content).root_node, grammar) for grammar in GRAMMARS[kind]]
    root, grammar = min(parsed, key=lambda pair: _error_bytes(pair[0]))
    return None if _error_bytes(root) > MAX_ERROR_SHARE * len(content) else (root, grammar)


@cache
def _parser(grammar: Grammar) -> Parser:
    return Parser(Language(getattr(importlib.import_module(grammar.module), grammar.function)()))


def _error_bytes(root: Node) -> int:
    """Bytes in nodes that the parser had to skip."""
    count, stack = 0, [root]
    while stack:
        node = stack.pop()
        if node.is_error:
            count += node.end_byte - node.start_byte
        elif node.has_error:
            stack.extend(node.children)
    return count


def _starts(root: Node, grammar: Grammar) -> Iterator[int]:
    stack = [root]
    while stack:
        node = stack.pop()
        after_block = False
        above: Node | None = None  # first of the comments that stand directly above
        before: Node | None = None
        for child in node.named_children:
            if child.type in _COMMENTS:
                # A comment behind code, on its line, belongs to that code.
                alone = before is None or child.start_point.row > before.end_point.row
                if alone and (above is None or not touching(before, child)):
                    above = child
            else:
                is_block = child.type in grammar.blocks
                if is_block or (after_block and not child.type.endswith("body")):
                    first = above if above is not None and touching(before, child) else child
                    if node.type not in _WRAPPERS:
                        yield first.start_byte
                is_container = child.type in grammar.containers
                after_block, above = is_block or is_container, None
                if is_container:
                    stack.append(child)
            before = child


def touching(one: Node | None, other: Node) -> bool:
    """Whether no blank line is between two neighbours, `one` before `other`."""
    return one is not None and other.start_point.row - one.end_point.row <= 1


def _characters(positions: list[int], content: bytes) -> list[int]:
    """Positions in UTF-8 as positions in the text, ascending."""
    found, characters, done = [], 0, 0
    for position in positions:
        characters += len(content[done:position].decode())
        done = position
        found.append(characters)
    return found
