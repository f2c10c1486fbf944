"""The settings of one bot process: what there is, and what is in force.

A value comes from the environment (`NIGHTLAB_PORT`), else from the file (`port` in nightlab.toml), else it is the
default; the App's credentials may also be those that the set-up page stored. A secret may also be named by a file that
holds it (`NIGHTLAB_TOKEN_FILE`, `token_file`). docs/settings.md and `nightlab config` follow from the fields of
`Settings`.
"""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints, TypeAdapter, ValidationError

from bot.core import advice
from bot.edge.claude import Via
from bot.setup import credentials
from bot.setup.credentials import BrokenFileError

PREFIX = "NIGHTLAB_"
FILE_NAME = "nightlab.toml"
ALSO_READ = {"anthropic_api_key": "ANTHROPIC_API_KEY"}  # variables that other programs use for the same
# What the runner process reads for itself, from its environment.
RUNNER = ("image", "runtime", "cpus", "data", "git_token")
NEAR = 0.75  # an unknown variable this like a known one is a mistake; others belong to somebody else (see docs)

Url = Annotated[str, StringConstraints(pattern=advice.URL)]
Name = Annotated[str, StringConstraints(max_length=40, pattern=advice.NAME)]
Count = Annotated[int, Field(ge=1, le=10_000)]
Secret = Annotated[str, Field(json_schema_extra={"writeOnly": True})]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What one bot process needs to know. Secrets are not in its repr."""

    database_url: Annotated[
        Secret,
        Field(
            pattern=advice.DATABASE_URL,
            description="`postgresql://<user>:<password>@<host>/<name>`, for several bots and runners; see "
            "[fleet.md](fleet.md). SQLite in the state folder if not set.",
        ),
    ] = ""
    runner_role: Annotated[
        str | None,
        Field(
            max_length=60,
            pattern=advice.PRINTABLE,
            description="On PostgreSQL: the role that runners sign in as; it is let see and change runs only.",
        ),
    ] = None
    name: Annotated[
        Name | None,
        Field(description="On PostgreSQL: the name of this process, unlike all others; by default the host's."),
    ] = None
    lease_s: Annotated[
        float,
        Field(ge=1, le=3600, description="On PostgreSQL: how long a process may be silent before it is given up."),
    ] = 30.0
    state: Annotated[
        Path, Field(description="Folder of the database, prepared data, bare clones and the App's key.")
    ] = Path(".nightlab/state")
    api_url: Annotated[Url, Field(description="The forge's API; on GitHub Enterprise `https://<host>/api/v3`.")] = (
        "https://api.github.com"
    )
    app_id: Annotated[
        int | None, Field(ge=1, description="The GitHub App that the bot is. The set-up page stores it by itself.")
    ] = None
    private_key: Annotated[Secret, Field(description="The App's private key (PEM).")] = ""
    token: Annotated[
        Secret, Field(description="A fine-grained token instead of an App; `nightlab doctor` says its limits.")
    ] = ""
    webhook_secret: Annotated[Secret, Field(description="What the forge signs its webhooks with.")] = ""
    dashboard_password: Annotated[
        Secret,
        Field(description="Asked for by the dashboard and `/metrics`, with any user's name; not set, they are open."),
    ] = ""
    host: Annotated[str, Field(description="The address to listen on; `0.0.0.0` is all of them.")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="The port to listen on; 0 takes a free one.")] = 8700
    public_url: Annotated[
        Url | None, Field(description="Where the forge finds this bot; the set-up page proposes it.")
    ] = None
    hardware: Annotated[Name, Field(description="The hardware class of this machine, as contracts name it.")] = "cpu"
    slots: Annotated[
        Count,
        Field(description="Runs at the same time on this machine, unless `gpu` says so: one per GPU, or per core."),
    ] = 1
    experiments_at_once: Annotated[Count, Field(description="Experiments under way at the same time.")] = 4
    mention: Annotated[Name, Field(description="The name that people address in comments, without `@`.")] = "nightlab"
    write_spacing_ms: Annotated[
        int, Field(ge=0, le=60_000, description="Time between two writes to the forge. GitHub asks for a second.")
    ] = 1000
    progress_s: Annotated[
        float, Field(gt=0, le=3600, description="How often the check of a pull request shows a run's progress.")
    ] = 20.0
    upkeep_hours: Annotated[
        float,
        Field(ge=0, le=8760, description="Time between two runs of main against itself in one slot; 0: none."),
    ] = 6.0
    claude_via: Annotated[
        Via | None, Field(description="How Claude is reached; `anthropic` where there is a key, else not at all.")
    ] = None
    anthropic_api_key: Annotated[
        Secret, Field(description="The key for `claude_via: anthropic`; `ANTHROPIC_API_KEY` is read as well.")
    ] = ""
    claude_url: Annotated[Url | None, Field(description="Another address of the model's API, such as a proxy.")] = None
    image: Annotated[
        str | None, Field(description="Digest of the image that candidates run in; see [task.md](task.md).")
    ] = None
    runtime: Annotated[str | None, Field(description="Another container runtime, such as `runsc`.")] = None
    gpu: Annotated[
        str | None,
        Field(
            pattern=advice.GPUS,
            description="UUIDs of GPUs, with commas between: a slot for each. All in one if not set.",
        ),
    ] = None
    cpus: Annotated[float | None, Field(gt=0, le=4096, description="CPUs a container may use; all if not set.")] = None
    data: Annotated[
        str | None,
        Field(description="The folder whose subfolders contracts may name as `claims.data`; see [task.md](task.md)."),
    ] = None
    log: Annotated[
        Literal["auto", "text", "json"],
        Field(description="Lines for people, or JSON; `auto` is for people in a terminal only."),
    ] = "auto"
    git_token: Annotated[
        Secret,
        Field(
            description="A token to clone private repositories with. The App gives runs on its own machine one each."
        ),
    ] = ""

    def __repr__(self) -> str:
        return f"Settings(state={self.state}, api_url={self.api_url}, app_id={self.app_id})"

    @property
    def has_credentials(self) -> bool:
        """Whether there is an identity to act as on the forge; without one, only the set-up page can be served."""
        return self.app_id is not None or bool(self.token)

    @property
    def is_local(self) -> bool:
        """Whether the forge is on this machine: a demo, a test."""
        return urlsplit(self.api_url).hostname in ("127.0.0.1", "::1", "localhost")

    @property
    def gpus(self) -> list[str]:
        return self.gpu.split(",") if self.gpu else []

    @property
    def runner_environment(self) -> dict[str, str]:
        """The variables that runner processes read."""
        given = ((name, getattr(self, name)) for name in RUNNER)
        return {variable(name): str(value) for name, value in given if value}


JSON_SCHEMA: Mapping[str, Any] = TypeAdapter(Settings).json_schema()
SCHEMA: Mapping[str, Any] = JSON_SCHEMA["properties"]
SECRETS = tuple(name for name, definition in SCHEMA.items() if definition.get("writeOnly"))
TYPES = get_type_hints(Settings, include_extras=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """Settings, and where each that is not the default comes from."""

    settings: Settings
    origins: Mapping[str, str]


def variable(name: str) -> str:
    return PREFIX + name.upper()


def settings_from(environment: Mapping[str, str]) -> Settings | list[str]:
    """The settings in force, or one sentence for each mistake."""
    found = configuration(environment)
    return found.settings if isinstance(found, Configuration) else found


def configuration(environment: Mapping[str, str]) -> Configuration | list[str]:
    """What is in force and where it comes from, or one sentence for each mistake. Never raises."""
    given = {name: text.strip() for name, text in environment.items() if text.strip()}  # empty is not set
    problems: list[str] = []
    values = _from_file(given, problems) | _from_environment(given, problems)
    sound = {name: value for name, (value, _) in values.items()}
    if not problems and not {"app_id", "token", "private_key"} & values.keys():
        stored = _from_setup(sound, problems)
        values |= stored
        sound |= {name: value for name, (value, _) in stored.items()}
    if not problems:
        sound |= _derived(sound)
        problems += _contradictions(sound)
    if problems:
        return problems
    return Configuration(settings=Settings(**sound), origins={name: origin for name, (_, origin) in values.items()})


Values = dict[str, tuple[Any, str]]  # name -> value, where it comes from


def _from_environment(given: Mapping[str, str], problems: list[str]) -> Values:
    values: Values = {}
    for name in SCHEMA:
        keys = [key for key in (variable(name), ALSO_READ.get(name, "")) if key in given]
        holder = f"{variable(name)}_FILE"
        if name in SECRETS and holder in given and variable(name) in given:
            problems.append(f"{variable(name)} and {holder} are both set: keep one")
        elif name in SECRETS and holder in given:
            _read_secret(name, Path(given[holder]), holder, values, problems)
        elif keys:
            _check(name, given[keys[0]], keys[0], values, problems)
    known = ["CONFIG", *(name.upper() for name in SCHEMA), *(f"{name.upper()}_FILE" for name in SECRETS)]
    unknown = (key for key in given if key.startswith(PREFIX) and key.removeprefix(PREFIX) not in known)
    for key in unknown:
        if close := advice.nearest(key.removeprefix(PREFIX), known, cutoff=NEAR):
            problems.append(f"there is no setting {key}: did you mean {PREFIX}{close}?")
    return values


def _from_file(given: Mapping[str, str], problems: list[str]) -> Values:
    """From the file that NIGHTLAB_CONFIG names, else from nightlab.toml beside the state folder, if it is there."""
    state = Path(given.get(variable("state"), Settings().state))
    path = Path(given[f"{PREFIX}CONFIG"]) if f"{PREFIX}CONFIG" in given else state.parent / FILE_NAME
    values: Values = {}
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if f"{PREFIX}CONFIG" in given:
            problems.append(f"{PREFIX}CONFIG: there is no file {path}")
        return values
    except OSError as error:
        problems.append(f"cannot read {path}: {error.strerror}")
        return values
    except ValueError as error:  # TOML's and UTF-8's
        problems.append(f"{path} is not TOML: {error}")
        return values
    holders = {f"{name}_file": name for name in SECRETS}
    for key, value in document.items():
        place = f"{path}, {key}"
        if key in holders and holders[key] in document:
            problems.append(f"{place}: {holders[key]} is there too: keep one of the two")
        elif key in holders and isinstance(value, str):
            _read_secret(holders[key], path.parent / value, place, values, problems)
        elif key in SCHEMA:
            _check(key, value, place, values, problems)
        else:
            hint = advice.did_you_mean(key, [*SCHEMA, *holders]) or "`nightlab config --explain` lists them all"
            problems.append(f"{place}: there is no such setting: {hint}")
    return values


def _from_setup(sound: Mapping[str, Any], problems: list[str]) -> Values:
    """What the set-up page stored in the state folder."""
    state = sound.get("state", Settings().state)
    try:
        found = credentials.load(state)
    except BrokenFileError as error:
        problems.append(str(error))
        return {}
    if found is None:
        return {}
    if sound.get("api_url", found.api_url) != found.api_url:
        problems.append(f"{state / credentials.FILE} is of {found.api_url}, not {sound['api_url']}: move it away")
        return {}
    place = f"set-up ({state / credentials.FILE})"
    names = ("api_url", "app_id", "private_key", "webhook_secret")
    return {name: (getattr(found, name), place) for name in names}


def _read_secret(name: str, path: Path, place: str, values: Values, problems: list[str]) -> None:
    try:
        if text := path.read_text(encoding="utf-8").strip():  # empty is not set
            values[name] = (text, f"{place} ({path})")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        problems.append(f"{place}: cannot read {str(path)!r}: {why}")


def _check(name: str, value: Any, place: str, values: Values, problems: list[str]) -> None:
    """Text is read as the type that the setting has; what a file says must have that type already."""
    adapter = TypeAdapter(TYPES[name])
    try:
        if isinstance(value, str):
            values[name] = (adapter.validate_strings(value), place)
        else:
            values[name] = (adapter.validate_json(json.dumps(value, default=str), strict=True), place)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        shows_value = name in SECRETS and first["type"] != "string_pattern_mismatch"
        said = "it is refused" if shows_value else advice.sentence(first, keys=[])
        problems.append(f"{place}: {said}")


def _derived(sound: Mapping[str, Any]) -> dict[str, Any]:
    if "anthropic_api_key" in sound and "claude_via" not in sound:
        return {"claude_via": Via.ANTHROPIC}
    return {}


def _contradictions(sound: Mapping[str, Any]) -> list[str]:
    problems = []
    if "app_id" in sound and "private_key" not in sound:
        problems.append(f"set {variable('private_key')}_FILE to the private key of App {sound['app_id']}")
    if "private_key" in sound and "app_id" not in sound:
        problems.append(f"set {variable('app_id')} to the number of the App whose private key is given")
    if "app_id" in sound and "token" in sound:
        problems.append(f"{variable('app_id')} and {variable('token')} are both set: keep one")
    if ("app_id" in sound or "token" in sound) and "webhook_secret" not in sound:
        problems.append(f"set {variable('webhook_secret')} to the secret of the webhook")
    if sound.get("claude_via") is Via.ANTHROPIC and "anthropic_api_key" not in sound:
        problems.append(f"set {variable('anthropic_api_key')}, or leave {variable('claude_via')} out")
    return problems
