"""Thousands of ways to go wrong, tried one after the other: processes that are killed, files that are damaged, machines that run short.

    python -m Testing.campaign [--minutes M | --counts kills=200,files=10000,faults=120] [--seed N] [--only kills,files,faults,protocol]
                               [--keep DIR] [--replay FILE]

What survives ends in a sound object or in one sentence, in time, with little memory, and leaves nothing half written. Whatever does not
is written to DIR (default: campaign-out) with a file that says how to try it again. A trial depends on the seed and its number alone.
"""
