"""The way to the forge that the settings give."""

from bot.edge.github.access import Access
from bot.setup.settings import Settings


def access_of(settings: Settings, *, spaced: bool = True) -> Access:
    """`spaced`: with the pause between two writes; whoever only reads does without."""
    return Access(
        api_url=settings.api_url,
        app_id=settings.app_id,
        private_key=settings.private_key,
        token=settings.token,
        write_spacing_s=settings.write_spacing_ms / 1000 if spaced else 0.0,
    )
