"""What becomes of a stage's milestones where an override changes its epochs."""

from typing import Any

from sc2bench.config.reading import Plain

_EPOCHS, _SCHEDULE = 10, "multi_step"  # the defaults of StageConfig


def rescale(before: Any, after: dict[str, Any]) -> None:
    """Moves milestones that were set for another number of epochs to the same share of the new one.

    They are rounded to whole epochs; one that falls on the start or the end of the stage is left out, and so is a
    second one of the same epoch.

    Args:
        before: the stage's fields as they were; its milestones go with its epochs.
        after: its fields now, with other epochs; changed in place.
    """
    before = before if isinstance(before, dict) else {}
    old, new = _whole(before.get("epochs", _EPOCHS)), _whole(after.get("epochs", _EPOCHS))
    milestones = before.get("milestones")
    if not isinstance(milestones, list) or after.get("schedule", _SCHEDULE) != "multi_step":
        return
    places = [_whole(milestone) for milestone in milestones]
    # Wrong values stay as they are, for their own error names them.
    if old and new and old != new and all(place is not None for place in places):
        moved = {(2 * place * new + old) // (2 * old) for place in places if place is not None}
        after["milestones"] = [Plain(str(place)) for place in sorted(moved) if 0 < place < new]


def _whole(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError):
        return None
