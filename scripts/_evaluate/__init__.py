"""The evaluation: all policies on all traces, tuned and untuned, with tables and plots."""
