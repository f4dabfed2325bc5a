"""What is taken out of a text that is kept; and that a second time takes out nothing."""

from __future__ import annotations

import pytest
from corpora import document, prose

from revela.corpus.filters.boilerplate_lines import BoilerplateLines
from revela.corpus.filters.licence_header import LicenceHeader

APACHE = """\
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software is
# distributed on an "AS IS" BASIS.
"""
HEADERS = [
    # kind, before, after
    ("python", f"#!/usr/bin/env python\n# -*- coding: utf-8 -*-\n{APACHE}\nimport os\n",
     "#!/usr/bin/env python\n# -*- coding: utf-8 -*-\nimport os\n"),
    ("python", f"# Copyright (c) 2020 A. Author\n{APACHE}#\n# Reads tables.\n\nimport os\n",
     "#\n# Reads tables.\n\nimport os\n"),
    ("python", "# Reads tables.\n#\n# SPDX-License-Identifier: MIT\nimport os\n",
     "# Reads tables.\n#\nimport os\n"),
    ("c", "/* Copyright 2020 A. Author.\n * All rights reserved.\n */\n\n#include <a.h>\n",
     "#include <a.h>\n"),
    ("c", "/* Copyright 2020 A. Author.\n *\n * Reads tables.\n */\nint a;\n",
     "/*\n *\n * Reads tables.\n */\nint a;\n"),
    ("javascript", "// Permission is hereby granted, free of charge,\n// to any person\nlet a;\n",
     "let a;\n"),
    ("sql", "-- Copyright 2020 A. Author\nSELECT 1;\n", "SELECT 1;\n"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "before", "after"), HEADERS)
def test_licence_paragraphs_at_the_top_of_code_are_removed(kind: str, before: str, after: str) -> None:
    clean = LicenceHeader()
    assert clean.name == "licence_header"
    assert clean(document(before, kind=kind)) == (after, 1)
    assert clean(document(after, kind=kind)) == (after, 0)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("python", "# Reads the licence files of packages.\nimport os\n"),
        ("python", '"""Copyright notices."""\nNOTICE = "Copyright 2020 A. Author"\n'),
        ("python", "import os\n# Copyright 2020 A. Author\n"),
        ("c", "#define COPYRIGHT 1\nint a;\n"),
        ("c", "/* Copyright 2020 A. Author */ int a;\n"),
        ("c", "/* Copyright 2020 A. Author, never closed\n"),
        ("text", "# Copyright 2020 A. Author\n"),
        ("unknown", "# Copyright 2020 A. Author\n"),
    ],
)
def test_everything_else_stays(kind: str, text: str) -> None:
    assert LicenceHeader()(document(text, kind=kind)) == (text, 0)


@pytest.mark.parametrize(
    "line",
    [
        "Please enable JavaScript to view the comments.",
        "JavaScript is disabled in your browser.",
        "This site uses cookies to improve your experience.",
        "Accept all cookies",
        "© 2020 Tea Company Ltd. All rights reserved.",
        "Skip to main content",
        "Back to top",
        "Home | About us | Contact | Privacy policy",
        " Home |\n Table of contents |\n Index |\n« previous\n|\nup\n\n|\n next »",
        "Prev\u00a0UpChapter\u00a053.\u00a0System CatalogsHome\u00a0Next",
    ],
)
def test_notices_and_menus_are_removed_from_prose(line: str) -> None:
    clean = BoilerplateLines()
    before, after = f"First line.\n{line}\nLast line.", "First line.\nLast line."
    text, edits = clean(document(before))
    assert clean.name == "boilerplate_lines"
    assert text.replace("\n\n", "\n") == after
    assert edits == len([part for part in line.split("\n") if part])
    assert clean(document(text)) == (text, 0)
    assert clean(document(before, kind="javascript")) == (before, 0)


@pytest.mark.parametrize(
    "text",
    [
        "The browser sends cookies, and Django uses cookies for sessions.",
        "If JavaScript is disabled, the form is sent by the server, as described in the chapter on forms.",
        "All rights reserved by the crown passed to parliament.",
        "| a | b |\n|---|---|\n| home | 1 |",
        "Home\n\nUp in the hills it rained.",
        "Search\nA search reads the index.",
        prose(40),
    ],
)
def test_sentences_about_them_and_tables_stay(text: str) -> None:
    assert BoilerplateLines()(document(text)) == (text, 0)
