"""The two mutations that GitHub has in GraphQL only: whether a pull request is a draft."""

import re
from typing import Any

from flask import Blueprint, Response, jsonify
from pydantic import BaseModel

from bot.hub import pulls
from bot.hub.access import may, require_own
from bot.hub.api.rest import actor, body, caller, the_forge
from bot.hub.forge import ForgeError
from bot.hub.records import Issue, Pull, Repo
from bot.hub.shapes.repositories import node_id

blueprint = Blueprint("graphql", __name__)
_DRAFT = {"markPullRequestReadyForReview": False, "convertPullRequestToDraft": True}


class Input(BaseModel):
    pullRequestId: str  # noqa: N815 - GitHub's name
    clientMutationId: str | None = None  # noqa: N815


class Variables(BaseModel):
    input: Input


class Mutation(BaseModel):
    query: str
    variables: Variables


@blueprint.post("/graphql")
def mutate() -> Response:
    """As on GitHub, what is refused has status 200 and says so in `errors`."""
    forge, who, asked = the_forge(), actor(), body(Mutation)
    named = re.fullmatch(r"mutation[^{]*\{\s*(\w+)\s*\(input:\s*\$input\)\s*\{.*\}\s*\}", asked.query.strip(), re.S)
    if named is None or named[1] not in _DRAFT:
        return _refused("undefinedField", f"only {' and '.join(_DRAFT)} are known here")
    given = asked.variables.input
    found = {node_id("PullRequest", pull.id): pull for pull in forge.store.all(Pull, "")}
    pull = found.get(given.pullRequestId)
    repo = forge.store.get(Repo, pull.repo_id) if pull else None
    if pull is None or repo is None or not may(forge, caller(), repo, "read", "pull_requests"):
        return _refused("NOT_FOUND", f"Could not resolve to a node with the global id of '{given.pullRequestId}'")
    author = forge.store.get(Issue, pull.issue_id).user_id
    try:
        require_own(forge, caller(), repo, author, "pull_requests")
    except ForgeError:
        return _refused("FORBIDDEN", "Resource not accessible by integration")
    pull = pulls.set_draft(forge, who, repo, pull, draft=_DRAFT[named[1]])
    done = {"clientMutationId": given.clientMutationId, "pullRequest": {"isDraft": pull.draft}}
    return jsonify({"data": {named[1]: done}})


def _refused(kind: str, message: str) -> Response:
    errors: list[dict[str, Any]] = [{"type": kind, "message": message}]
    return jsonify({"data": None, "errors": errors})
