"""The one exception for what a user can mend."""


class UserError(Exception):
    """Bad input or surroundings: the message is one line that says what is wrong, where, and what to do.

    The command line prints it without a traceback and exits with 1.
    """
