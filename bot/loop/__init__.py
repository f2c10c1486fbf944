"""The loop as durable workflows: start reading at experiment.py. Straight-line code; every step may run twice.

experiment    from draft to merge or close
  opening       where it starts, its pull request; proposing: who proposes; dialogue, smoke: how Claude does
  ahead         drafted while the slots are busy, it waits for its turn
  messages      what people say meanwhile; revision: another commit for it
  branch        what people did to the branch, today's main into it
  measurement   the runs; upkeep: the slots that they are made in
  publication   what people see; merging: landing what is proven
  auditing, holdout   after a merge
campaign, plans   series of experiments; burial: those that broke off
reading, meters   of a repository, for Prometheus
"""
