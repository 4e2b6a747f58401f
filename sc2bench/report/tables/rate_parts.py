"""The rate taken apart: where the bytes of a point go."""

import pandas as pd

from sc2bench.measures import PARTS, measure
from sc2bench.report.tables.points import REFERENCE_METHOD
from sc2bench.report.tables.table import Table

# The prior that sends nothing beside its latents: other bytes of its packets' side information are no code.
_WITHOUT_SIDE_INFO = "factorized"


def rate_parts_table(records: pd.DataFrame) -> Table:
    """A row a point: its bytes by part, their shares, and what coding costs beyond the prior's estimate.

    The estimate covers all that is coded under a prior, hyper-latents included, which are sent as side information. So
    the coder's overhead is the difference of payload and side information together to it, without the sizes of images
    and the checks of hyperpriors, which are side information, too.

    Args:
        records: with the column `curve`.
    """
    rated = records[records["method"] != REFERENCE_METHOD]
    frame = pd.DataFrame({"Curve": rated["curve"], "Rate": rated["rate"], "Bytes": rated["bytes_mean"]})
    for name in PARTS:
        frame[measure(name).short] = rated[name]
    shares = {f"{measure(name).short} [%]": 100 * rated[name] / rated["bytes_mean"] for name in PARTS}
    estimated = rated["estimated_bits_mean"].astype(float)
    coded = 8 * (rated["payload_bytes_mean"] + rated["side_info_bytes_mean"] - _uncoded(rated))
    overhead = coded - estimated
    frame = frame.assign(**shares)
    frame["Estimated bits"] = estimated
    frame["Coder overhead [bits]"] = overhead
    frame["Coder overhead [%]"] = 100 * overhead / (8 * rated["bytes_mean"])
    return Table(
        "rate_parts",
        "Rate taken apart",
        "Mean bytes of a sample by part, and their shares of all its bytes. Coder overhead: bits of payload and side "
        "information beyond the prior's estimate of them (whole bytes, the coder's termination, quantized "
        "probabilities), without the sizes of images and checks, which no prior estimates, and its share of all bits; "
        "empty for methods without a prior.",
        frame.reset_index(drop=True),
        {"Rate": "g", "Bytes": ".1f", "Payload": ".1f", "Side info": ".2f", "Framing": ".2f"},
    )


def _uncoded(rated: pd.DataFrame) -> pd.Series:
    """Mean bytes of side information that no prior has coded.

    Records that are too old to know have none, but for those of a prior without side information of its own.
    """
    of_others = rated["side_info_bytes_mean"].where(rated["prior"] == _WITHOUT_SIDE_INFO, 0.0)
    known = rated.get("uncoded_bytes_mean", pd.Series(index=rated.index, dtype=float))
    return known.astype(float).fillna(of_others)
