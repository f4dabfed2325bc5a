"""Functions and classes of languages other than Python."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from revela.chunks.boundaries import find_boundaries
from revela.chunks.chunking import Chunker
from revela.chunks.languages import GRAMMARS
from revela.corpus.schema import Document, kind_of

SOURCES = {
    "js": (
        "import a from 'a';\n\n// About f.\n// More.\nfunction f() {\n  return 1;\n}\n\n"
        "export class C extends B {\n  x = 1;\n\n  /** m */\n  m() {}\n\n  async n() {}\n}\n\nmain();\n",
        ["// About f.", "export class C extends B {", "  /** m */", "  async n() {}", "main();"],
    ),
    "ts": (
        "interface I {\n  a: string;\n}\n\nexport abstract class D<T> {\n  m(x: T): void {}\n}\n"
        "namespace N {\n  export function f(): number { return 1; }\n}\n",
        ["export abstract class D<T> {", "  m(x: T): void {}", "namespace N {",
         "  export function f(): number { return 1; }"],
    ),
    "tsx": ("const a = 1;\nfunction App() {\n  return <p>hello</p>;\n}\n", ["function App() {"]),
    "java": (
        "package p;\n\n/** About C. */\n@Deprecated\npublic class C {\n  int x;\n\n  C() {}\n\n"
        "  // m\n  @Override\n  void m() {}\n}\n\ninterface I { void n(); }\n",
        ["/** About C. */", "  C() {}", "  // m", "interface I { void n(); }"],
    ),
    "go": (
        "package p\n\nimport \"a\"\n\ntype T struct{ x int }\n\n// About m.\nfunc (t T) m() {}\n\n"
        "var y = 1\n",
        ["type T struct{ x int }", "// About m.", "var y = 1"],
    ),
    "rs": (
        "use a::b;\n\n/// About S.\n#[derive(Clone)]\nstruct S { x: i32 }\n\nimpl S {\n    fn m(&self) {}\n\n"
        "    pub fn n(&self) {}\n}\n\nmod tests {\n    #[test]\n    fn t() {}\n}\n",
        ["/// About S.", "impl S {", "    fn m(&self) {}", "    pub fn n(&self) {}", "mod tests {",
         "    #[test]"],
    ),
    "c": (
        "#include <a.h>\n\n/* About f. */\nstatic int\nf(void)\n{\n  return 1;\n}\n\n#ifdef X\n"
        "int g(void) { return 2; }\n#endif\n\nint z;\n",
        ["/* About f. */", "#ifdef X", "int g(void) { return 2; }", "int z;"],
    ),
    "cpp": (
        "#include <a>\nnamespace n {\n// About C.\nclass C {\n public:\n  C() {}\n  int m() { return 1; }\n"
        "};\n\ntemplate <class T>\nT f(T x) { return x; }\n}  // namespace n\n",
        ["namespace n {", "// About C.", "  C() {}", "  int m() { return 1; }", "template <class T>"],
    ),
}  # fmt: skip


def first_lines(text: str, kind: str) -> list[str]:
    return [text[position:].splitlines()[0] for position in find_boundaries(text, kind).hard]


@pytest.mark.parametrize("kind", SOURCES)
def test_a_text_is_cut_at_functions_and_classes_with_their_comments(kind: str) -> None:
    text, wanted = SOURCES[kind]
    assert first_lines(text, kind) == wanted


@pytest.mark.parametrize("newline", ["\r\n", "\n"])
def test_positions_are_those_of_characters_beyond_ascii(newline: str) -> None:
    text = "// 日本語 🦜 é\nlet s = 'ü';\n\nfunction f() {}\nlet t;\n".replace("\n", newline)
    assert first_lines(text, "js") == ["function f() {}", "let t;"]


@pytest.mark.parametrize("kind", sorted(GRAMMARS))
def test_what_is_another_language_falls_back_to_lines(kind: str) -> None:
    prose = "\n".join("It was the best of times, it was the worst of times; (and so on." for _ in range(40))
    assert find_boundaries(prose, kind).hard == []


def test_a_header_of_c_plus_plus_is_read_as_such() -> None:
    assert first_lines(SOURCES["cpp"][0], "h") == SOURCES["cpp"][1]


def installed(package: str, pattern: str) -> list[Path]:
    root = Path(find_spec(package).origin).parent
    return sorted(path for path in root.rglob(pattern) if 2_000 < path.stat().st_size < 200_000)[:40]


REAL = [*installed("numpy", "*.h")[:9], *installed("sklearn", "*.js")[:4], *installed("pyarrow", "*.h")[:9]]


def test_real_files_are_parsed_and_their_functions_that_fit_are_whole(tokenizer: Tokenizer) -> None:
    from tree_sitter import Language, Parser
    from tree_sitter_c import language

    seen = whole = 0
    for path in installed("numpy", "*.h") + installed("pyarrow", "*.h"):
        text = path.read_text(encoding="utf-8", errors="replace")
        if not find_boundaries(text, "c").hard:
            continue
        chunker = Chunker(tokenizer, 256, 8, 0.5)
        [(_, chunks)] = chunker.chunks([Document(path.name, "", text, "s", "c")])
        content = text.encode()
        stack = [Parser(Language(language())).parse(content).root_node]
        while stack:
            node = stack.pop()
            stack.extend(child for child in node.children if node.type != "function_definition")
            body = content[node.start_byte : node.end_byte].decode()
            # Below the bound by the room for comments above, and large enough to stand alone.
            if node.type == "function_definition" and 16 <= len(tokenizer.encode(body)) <= 150:
                seen += 1
                whole += any(body in chunk.text for chunk in chunks)
    assert seen > 20
    assert whole == seen


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.name)
def test_no_visible_text_of_real_files_is_lost_but_what_is_counted(path: Path, tokenizer: Tokenizer) -> None:
    text = path.read_text(encoding="utf-8", errors="replace")
    chunker = Chunker(tokenizer, 128, 1, 0.5)
    [(_, chunks)] = chunker.chunks([Document(path.name, "", text, "s", kind_of(path.suffix))])
    lost = len("".join(text.split())) - sum(len("".join(chunk.text.split())) for chunk in chunks)
    assert (lost == 0) == (chunker.dropped.total() == 0)
