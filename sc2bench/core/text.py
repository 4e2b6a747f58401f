"""Text of a user, such as the label of a curve, in the formats that it is written to: one function a format.

Figures need none: their style takes no sign for mathematics (`report.style`), and one line is all that they ask for.
"""

import re
import unicodedata

# What would end a line, move a terminal's cursor or stand for half a character, and what turns the direction of text.
_CATEGORIES = ("Cc", "Cs", "Zl", "Zp")
_DIRECTIONS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
# Where a sign has its meaning in GitHub's Markdown wherever it stands; others have it in some places only.
_MARKDOWN = re.compile(
    r"[\\`*~$|]"
    # A tag, an entity, an underscore that is not inside a word, the end of a link's text.
    r"|<(?=[A-Za-z/!?])|&(?=[#A-Za-z])|(?<![^\W_])_|_(?![^\W_])|\](?=[(\[:])"
    # At the start of a block: a link's definition, a quote, a heading, a list; a heading's end.
    r"|^[\[>#]|^[-+](?=\s|$|[-+])|#(?=#*$)"
)
_NUMBERED = re.compile(r"^(\d{1,9})([.)])(?=\s|$)")
_LATEX = str.maketrans(
    {sign: f"\\{sign}" for sign in "&%$#_{}"}
    # Escapes, and what Computer Modern would set as other signs.
    | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}", "`": r"\textasciigrave{}"}
    | {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"}
    | {"\u2264": r"$\leq$", "\u2265": r"$\geq$", "\u2212": r"$-$", "\u00b1": r"$\pm$"}
)
_MINUS = re.compile(r"(?<!\S)-(?= ?\d)")
# Behind the end of a line, LaTeX would take it for the start of an option.
_BRACKET = re.compile(r"^\[")
# What a spreadsheet takes for the start of a formula.
_FORMULA = re.compile("[-=+@\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_NAME = re.compile(r"[^A-Za-z0-9_.:-]+")


def one_line(text: object) -> str:
    r"""Text without line ends and control characters; each run of them and of blanks becomes one blank.

    >>> one_line(" a\n\tb \x1b[31m")
    'a b [31m'
    """
    kept = (" " if unicodedata.category(sign) in _CATEGORIES or sign in _DIRECTIONS else sign for sign in str(text))
    return " ".join("".join(kept).split())


def markdown(text: object) -> str:
    r"""Text that GitHub's Markdown shows as it stands, in a cell of a table, a heading, a list or a paragraph.

    >>> print(markdown("a|b *c* $d$ e_f _g_ <h> [%]"))
    a\|b \*c\* \$d\$ e_f \_g\_ \<h> [%]
    """
    line = _MARKDOWN.sub(lambda found: f"\\{found[0]}", one_line(text))
    return _NUMBERED.sub(r"\1\\\2", line)


def latex(text: object) -> str:
    r"""Text that LaTeX sets as it stands; `<=` and ` ... ` become signs of their own.

    >>> print(latex("<= 5 % of a_b"))
    $\leq$ 5 \% of a\_b
    """
    escaped = one_line(text).replace("<=", "\u2264").translate(_LATEX)
    # Two hyphens are a dash in LaTeX.
    escaped = re.sub("-(?=-)", "-{}", escaped).replace(" ... ", "--")
    return _BRACKET.sub("{[}", _MINUS.sub("$-$", escaped))


def latex_label(text: object) -> str:
    r"""A name for `\label` and `\ref`: what has a meaning in LaTeX becomes a hyphen.

    >>> latex_label("tab:my suite #2-points")
    'tab:my-suite-2-points'
    """
    return _NAME.sub("-", one_line(text))


def csv_cell(text: str) -> str:
    """Text that neither breaks a line nor starts a formula in a spreadsheet; the writer of CSV quotes the rest.

    >>> csv_cell("=1+2"), csv_cell("-1.5"), csv_cell("JPEG")
    ("'=1+2", '-1.5', 'JPEG')
    """
    line = one_line(text)
    return f"'{line}" if _FORMULA.match(line) and not _NUMBER.fullmatch(line) else line


def file_name(text: object) -> str:
    """A part of the name of a file or of a job, of letters, digits and a few signs that no program gives a meaning.

    >>> file_name("my suite=2")
    'my-suite-2'
    """
    return _NAME.sub("-", one_line(text)).replace(":", "-").strip("-.") or "unnamed"
