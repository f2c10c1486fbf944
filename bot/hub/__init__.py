"""A GitHub-compatible forge for one machine: the demo's, the tests', and a real one for teams without GitHub.

It knows nothing of the rest of Nightlab: the bot talks to it over HTTP exactly as it talks to GitHub.

    hub.py                          the Python face: make users, repositories and apps; serve; stop
    wsgi.py, rest.py, api_*.py      the REST subset: parse a request, check access, call an operation, shape the answer
    shapes*.py                      rows and git objects as GitHub's JSON
    transport.py                    git over smart HTTP
    pages*.py, markdown, mermaid    HTML to read and to comment on
    threads, pulls, merging, checks operations: what happens, and which webhook says so
    refs.py, hooks.py               pushes and what follows from them; signed deliveries from a stored queue
    forge.py, access.py, faults.py  what all of them share: state and locks, who may do what, failures on demand
    repository.py, store.py         state: a bare git repository each, and one SQLite database for all the rest
"""

from bot.hub.apps import InstalledApp
from bot.hub.faults import DeliveryFault, Fault
from bot.hub.hub import Hub, HubError

__all__ = ["DeliveryFault", "Fault", "Hub", "HubError", "InstalledApp"]
