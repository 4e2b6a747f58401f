"""What becomes of a schedule's milestones where an override changes the epochs of its stage."""

from dataclasses import fields
from typing import Any

from sc2bench.config.options import IN_EPOCHS
from sc2bench.config.reading import Plain
from sc2bench.config.stages import StageSettings, config_class_at


def keys_set(key: str, value: Any) -> set[str]:
    """The full keys of all fields that an override sets, those of a mapping one by one."""
    inner = value.items() if isinstance(value, dict) else ()
    return {key}.union(*(keys_set(f"{key}.{name}", item) for name, item in inner))


def rescale(before: Any, after: dict[str, Any], stage: str, given: set[str]) -> None:
    """Moves milestones that were set for another number of epochs to the same share of the new one.

    Milestones are all options of a schedule that are epochs. They are rounded to whole ones; one that falls on the
    start or the end of the stage is left out, and so is a second one of the same epoch.

    Args:
        before: the stage's fields as they were; its milestones go with its epochs.
        after: its fields now, with other epochs; changed in place.
        stage: its name.
        given: full keys of what was set with the epochs, and stays.
    """
    before = before if isinstance(before, dict) else {}
    usual = StageSettings.epochs
    old, new = _whole(before.get("epochs", usual)), _whole(after.get("epochs", usual))
    options = after.get("schedule")
    schema = config_class_at((stage, "schedule"), options)
    if not old or not new or old == new or schema is None or not isinstance(options, dict):
        return
    for name in [each.name for each in fields(schema) if each.metadata.get(IN_EPOCHS)]:
        if isinstance(options.get(name), list) and f"{stage}.schedule.{name}" not in given:
            places = [_whole(milestone) for milestone in options[name]]
            # Wrong values stay as they are, for their own error names them.
            if all(place is not None for place in places):
                moved = {(2 * place * new + old) // (2 * old) for place in places if place is not None}
                kept = [Plain(str(place)) for place in sorted(moved) if 0 < place < new]
                after["schedule"] = after["schedule"] | {name: kept}


def _whole(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError):
        return None
