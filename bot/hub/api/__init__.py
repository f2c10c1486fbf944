"""The REST subset: parse a request, check access, call an operation, shape the answer."""

from bot.hub.api import apps, checks, contents, git, issues, labels, pulls, repositories, reviews

REST = (apps, repositories, git, contents, issues, labels, pulls, reviews, checks)
