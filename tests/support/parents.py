"""Shells that start a program, write their pid and stay: the parents of runs with `--with-parent`."""

TELLS = """-c 'echo $$ >parent; "$@"; true' parent "$@"; true"""
"""What a shell needs to write its pid, to start the words, and to stay their parent."""
PARENTS = {
    "sh": f"sh {TELLS}",
    "bash": f"bash {TELLS}",
    "setsid": f"setsid -w sh {TELLS}",
    "double fork": f"((sh {TELLS}) &) ; sleep 0",
}
"""Scripts for `bash -c SCRIPT bash WORDS`."""
