"""Code that a project carries but did not write."""

import re

from revela.corpus.filters.base import Rule, View

# The conventions that github-linguist's lib/linguist/vendor.yml knows, those that name a folder.
_FOLDERS = re.compile(
    r"(?:^|/)(node_modules|bower_components|jspm_packages|vendor(?:s|ed)?|_vendor(?:ed)?|godeps|third[-_]?party"
    r"|3rd[-_]?party|externals?|extern|site-packages|dist-packages|carthage|pods|gradle/wrapper|ace-builds)/",
    re.IGNORECASE,
)
_FILES = re.compile(
    r"(?:^|/)(?:jquery|bootstrap|angular|react|d3|modernizr|mootools|prototype|normalize|font-awesome|ckeditor)"
    r"(?:[-.][\w.-]+)?\.(?:js|css)$"
    r"|(?:^|/)(?:configure|config\.guess|config\.sub|aclocal\.m4|libtool\.m4|ltmain\.sh|gradlew|gradlew\.bat)$",
    re.IGNORECASE,
)


class Vendored(Rule):
    """Keeps documents whose id is no path into copied dependencies; every kind.

    The id of a document out of a folder, a repository or a distribution is its path. After
    github-linguist's list of vendored paths, the entries that are conventions of many projects.
    """

    reason = "vendored"

    def __call__(self, view: View) -> str | None:
        path = view.document.id
        folder = _FOLDERS.search(path)
        if folder:
            return f"below {folder.group(1)}/"
        return f"name {path.rpartition('/')[2]}" if _FILES.search(path) else None
