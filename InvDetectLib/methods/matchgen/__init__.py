"""Autoencoders of whole normal slices, and the method `matchgen` over any of them."""
