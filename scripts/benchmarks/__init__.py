"""What ``bench.py`` measures: each figure beside the raw mechanism, in the same run."""
