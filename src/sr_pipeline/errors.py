"""The one exception for what a user can mend."""


class UserError(Exception):
    """Bad input or surroundings: the message is one line that says what is wrong, where, and what to do.

    The command line prints it without a traceback and exits with 1. A notebook shows it without one, too.
    """

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of a traceback."""
        return [f"{type(self).__name__}: {self}"]
