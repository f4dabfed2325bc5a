"""The one exception that a user is meant to read.

Every fault that a user can mend (a file, a line, a key of ``params.yaml``) is raised as
:class:`RevelaError`; the command line prints its text without a traceback and exits with 1.
Anything else that escapes is a bug of ours and keeps its traceback.
"""


class RevelaError(Exception):
    """A fault in the user's input or surroundings.

    The message names the file, line or key, says what was expected and how to mend it.
    """
