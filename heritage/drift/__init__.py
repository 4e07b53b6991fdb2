"""Drift of what a deployed model sees, says and gets right: profiles, windows, measures, verdicts, agents."""
