"""`nightlab config`: the settings in force and where each comes from, or what settings there are."""

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from bot.setup.settings import FILE_NAME, SCHEMA, SECRETS, Configuration, configuration, variable


def show(environment: Mapping[str, str], *, console: Console) -> int:
    """Exit status: 1 when something is wrong, with one sentence for each mistake. Secrets are not shown."""
    found = configuration(environment)
    if not isinstance(found, Configuration):
        for problem in found:
            console.print(problem, style="red", markup=False, soft_wrap=True)
        return 1
    table = Table("setting", "value", "from", box=None)
    for name in SCHEMA:
        value = getattr(found.settings, name)
        shown = "" if value is None or value == "" else "(hidden)" if name in SECRETS else str(value)
        table.add_row(name, shown, found.origins.get(name, "default" if shown else ""))
    console.print(table, markup=False)
    return 0


def explain(*, console: Console) -> int:
    """All settings with their meaning, as docs/settings.md has them."""
    console.print(
        f"Set them as variables of the environment, or without the prefix and in small letters in {FILE_NAME} beside "
        "the state folder. For a secret, VARIABLE_FILE may name a file that holds it.\n",
        markup=False,
    )
    for name, definition in SCHEMA.items():
        default = definition.get("default")
        console.print(f"[bold]{variable(name)}[/]" + (f" = {default}" if default not in (None, "") else ""))
        console.print(f"    {definition['description'].replace('`', '')}", markup=False, highlight=False)
    return 0
