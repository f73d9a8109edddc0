"""Methods of others as rows of the study: each learns from normal slices alone and gives a map of a slice.

In: the slices that `standard` sees. Out: two rows each, the map thresholded by the study's rule, and cut by SCR.
"""
