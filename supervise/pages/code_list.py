"""The exit codes of supervise with the outcome that each has, for the manual and the topics of help."""

from supervise.core.exit_codes import ExitCode

SHARED_CODES = (ExitCode.TRY_AGAIN, ExitCode.SIGNALED)
"""The codes that more than one outcome has; each of these outcomes has its own row."""
EXIT_CODES = (
    ("0", "completed", "The command ended by itself with a code of \\-\\-success\\-codes."),
    ("its own", "failed", "The command ended by itself with another code."),
    (
        ExitCode.TRY_AGAIN.shown,
        "resumable",
        "The command ended by itself with 75 (EX_TEMPFAIL: try again later), or the time around it was over.",
    ),
    (
        ExitCode.TRY_AGAIN.shown,
        "busy",
        "Another run holds the lock of \\-\\-lock; nothing was started. With \\-\\-if\\-busy skip the code is 0.",
    ),
    *(
        # A run that goes on has no outcome yet.
        (code.shown, "" if code is ExitCode.GOES_ON else code.name.lower(), code.sentence)
        for code in ExitCode
        if code not in SHARED_CODES
    ),
    (ExitCode.SIGNALED.shown, "signaled", "Signal N, which supervise had not sent, ended the command."),
    (
        ExitCode.SIGNALED.shown,
        "cancelled",
        "Signal N to supervise cancelled the run; after INT supervise dies of INT itself.",
    ),
)
