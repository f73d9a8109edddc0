"""`python -m InvDetectLib` is the shell command `invdetect`; torchrun starts it by this name, too."""

from .shell import program

if __name__ == "__main__":
    raise SystemExit(program())
