"""The study on real scans: what InvDetect finds beside everything simpler, from the data folder to a table. See README.md here.

    python -m Testing.evidence flair

Data flow:  sets (who is in which split) -> study (prepared scans, trained models) -> rows (methods) -> maps (cached on disk)
            -> figures (metrics with intervals) -> report (results.json, table.md) and drawing (pictures)
"""
