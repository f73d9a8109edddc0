"""Seconds, memory and agreement of inversion and all that follows it: the paper read plainly, a peer, and InvDetect (`make bench`)."""
