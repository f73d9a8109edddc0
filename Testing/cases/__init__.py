"""Small inputs that once went wrong, tried again one after the other: each is right now, or refused for the right reason.

    python -m Testing.cases [FOLDER]

FOLDER holds a folder a case (default: shared/cases beside the checkout). A file here has a table `CASES`, from the name of a case to the
function that tries it: (the case's folder, an empty folder to work in) -> what came out, in words that begin with "right" or "refused".
A function that finds something else raises `Wrong` or an AssertionError. A new file needs nothing but its table.
"""
