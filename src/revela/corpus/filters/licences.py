"""How licences sound: phrases that stand in notices and nowhere else."""

import re

# Wordings of the MIT, BSD, Apache, GNU, Mozilla, Python and SPDX notices.
LICENCE_PHRASE = re.compile(
    r"spdx-license-identifier|all rights reserved|permission is hereby granted"
    r"|permission to use, copy, modify"
    r"|redistributions? (?:and use )?(?:in|of) (?:source|binary)|licensed (?:under|to) the"
    r"|terms of the (?:gnu|apache|mit|bsd|psf)"
    r"|gnu (?:lesser |library |affero )?general public license|mozilla public license|apache license, version"
    r"|unless required by applicable law|without warrant(?:y|ies) (?:of|or)|without even the implied warranty"
    r"|\"as is\"|merchantability|in no event shall|you may not use this file except"
    r"|obtain a copy of the license"
    r"|should have received a copy of the|see the license for the specific|the above copyright notice"
    r"|neither the name of|apache\.org/licenses|python software foundation license"
    r"|released under the (?:\w+ ){1,3}licen[cs]e"
    r"|(?:in|see) (?:the )?(?:accompanying )?(?:file )?"
    r"(?:licen[cs]e|copying|notice|authors)(?:\.\w+)? (?:file|for)"
    r"|distributed under the (?:terms|\w+ licen[cs]e)|can be found in the license file"
    r"|(?:published|made available) (?:by|under) the (?:free software|terms)",
    re.IGNORECASE,
)
COPYRIGHT_LINE = re.compile(
    r"^\W*(?:©|\(c\)|copyright\b)[\s\W]*(?:©|\(c\)|[12]\d{3}|by\b|the\b|\w+)", re.IGNORECASE
)
