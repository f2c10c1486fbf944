"""A GitHub-compatible forge for one machine: the demo's, the tests', and a real one for teams without GitHub.

It knows nothing of the rest of Nightlab: the bot talks to it over HTTP exactly as it talks to GitHub.

    hub.py                          the Python face: make users, repositories and apps; serve; stop
    wsgi.py                         one application of all that is served over HTTP:
    api/                            the REST subset: parse a request, check access, call an operation, shape the answer
    shapes/                         rows and git objects as GitHub's JSON
    pages/                          HTML to read and to comment on
    git/                            bare repositories, moving refs, merging, and git over smart HTTP
    threads, pulls, reviews, checks operations: what happens, and which webhook says so
    apps.py, hooks.py               apps and their credentials; signed deliveries from a stored queue
    forge.py, access.py, faults.py  what all of them share: state and locks, who may do what, failures on demand
    records.py, store.py            all that is not git, in one SQLite database
"""

from bot.hub.apps import InstalledApp
from bot.hub.faults import DeliveryFault, Fault
from bot.hub.hub import Hub, HubError

__all__ = ["DeliveryFault", "Fault", "Hub", "HubError", "InstalledApp"]
