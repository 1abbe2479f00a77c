"""The one exception for what a user can fix."""


class UserError(Exception):
    """Bad input or a bad environment: the message is one line that says what is wrong, where, and what to do.

    The command line prints it without a traceback and exits with 1. So does a notebook.
    """

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of a traceback."""
        return [f"{type(self).__name__}: {self}"]
