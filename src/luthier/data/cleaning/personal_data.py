"""Personal data that has a form: it is masked, the row stays.

phonenumbers (Google's libphonenumber) finds telephone numbers, python-stdnum checks bank accounts and cards, the
standard library IP addresses. Presidio finds the same kinds through the same checks, but installs spaCy (300 MB) and
fetches a list of domains from the internet when it checks an e-mail address; DataFog takes a part of a bank account for
a card and cards without a valid check digit for cards.

Names, addresses and dates are not found: that needs a model, and no model finds all of them.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Literal, get_args

from pydantic import Field

from luthier.core.config import Config
from luthier.core.errors import MissingExtraError, unknown_name
from luthier.data.cleaning.rules import Finding, Row

Kind = Literal["email", "iban", "card", "ip", "phone"]
Span = tuple[int, int]

_KIND_NAMES: dict[Kind, tuple[str, str]] = {
    "email": ("e-mail address", "e-mail addresses"),
    "iban": ("IBAN", "IBANs"),
    "card": ("card number", "card numbers"),
    "ip": ("IP address", "IP addresses"),
    "phone": ("telephone number", "telephone numbers"),
}
# At most 64 characters before the @ (RFC 5321), so that a long run of letters is not read again and again.
_EMAIL = re.compile(r"(?<![\w.+-])\w[\w.!#$%&'*+/=?^{|}~-]{0,63}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}\b")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{1,4}){3,10}\b")
_CARD = re.compile(r"(?<![\w.,-])[2-6](?:[ -]?\d){13,18}(?!\w)")
_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f:]{4,39}(?![\w:])")
_FEWEST_DIGITS = 5


class PersonalDataConfig(Config):
    """What is masked."""

    kinds: list[Kind] = Field(default=list(get_args(Kind)), description="what is masked")
    regions: list[str] = Field(
        default=[],
        description="countries, such as US and DE, whose telephone numbers are masked when they are written without "
        "the country's code too; numbers that begin with + always are",
    )


class PersonalData:
    """Masks e-mail addresses, telephone numbers, IBANs, card numbers and IP addresses (phonenumbers, python-stdnum).

    Each becomes `<EMAIL>`, `<PHONE>`, `<IBAN>`, `<CARD>` or `<IP>`, in every column that is a text, answers too, but
    not in those that name the row, its part or its cluster. Numbers that are no text (in JSON) stay.
    """

    name = "personal_data"
    Config = PersonalDataConfig

    def __init__(self, config: PersonalDataConfig) -> None:
        self.config = config

    def find(self, rows: Sequence[Row]) -> list[Finding]:
        """Find rows with personal data, and their columns with masks instead.

        Raises:
            MissingExtraError: if phonenumbers or python-stdnum is not installed.
            ConfigError: if a region is none that phonenumbers knows.
        """
        finders = _finders(self.config)
        findings = []
        for number, row in enumerate(rows):
            counts: Counter[Kind] = Counter()
            fields = row.example.fields
            masked = {c: _masked(value, finders, counts) for c, value in fields.items() if c not in row.names}
            if counts:
                changed = {column: value for column, value in masked.items() if value != fields[column]}
                findings.append(Finding(number, _in_words(counts), changed))
        return findings


Finder = Callable[[str], Iterator[Span]]


def _finders(config: PersonalDataConfig) -> dict[Kind, Finder]:
    """Return the finders in the order in which they are asked: an IBAN's digits must not be taken for a card."""
    every: dict[Kind, Finder] = {
        "email": _emails, "iban": _ibans(), "card": _cards(), "ip": _ips, "phone": _phones(config.regions),
    }  # fmt: skip
    return {kind: find for kind, find in every.items() if kind in config.kinds}


def mask(text: str, config: PersonalDataConfig | None = None) -> tuple[str, Counter[Kind]]:
    """Return a text with masks, and how often each kind was found.

    Raises:
        MissingExtraError: if phonenumbers or python-stdnum is not installed.
        ConfigError: if a region is none that phonenumbers knows.
    """
    counts: Counter[Kind] = Counter()
    return _masked(text, _finders(config or PersonalDataConfig()), counts), counts


def _masked(value: Any, finders: dict[Kind, Finder], counts: Counter[Kind]) -> Any:
    """Return a value in which all texts are masked, also those within lists and objects."""
    if isinstance(value, dict):
        return {key: _masked(part, finders, counts) for key, part in value.items()}
    if isinstance(value, list):
        return [_masked(part, finders, counts) for part in value]
    if not isinstance(value, str):
        return value
    for kind, find in finders.items():
        for start, end in reversed(list(find(value))):
            value = f"{value[:start]}<{kind.upper()}>{value[end:]}"
            counts[kind] += 1
    return value


def _in_words(counts: Counter[Kind]) -> str:
    return ", ".join(f"{counts[kind]} {one if counts[kind] == 1 else more}"
                     for kind, (one, more) in _KIND_NAMES.items() if counts[kind])  # fmt: skip


# -------------------------------------------------------------------------------------------------------- finders


def _emails(text: str) -> Iterator[Span]:
    if "@" in text:
        yield from (match.span() for match in _EMAIL.finditer(text))


def _ibans() -> Finder:
    try:
        from stdnum import iban
    except ImportError:
        raise MissingExtraError("python-stdnum", "cleaning", "The rule 'personal_data'") from None

    def find(text: str) -> Iterator[Span]:
        for match in _IBAN.finditer(text):
            written = match[0]
            while written and not iban.is_valid(written):  # "… 00 BIC": the words behind it look like more of it
                written = written.rpartition(" ")[0]
            if written:
                yield match.start(), match.start() + len(written)

    return find


def _cards() -> Finder:
    from stdnum import luhn

    def find(text: str) -> Iterator[Span]:
        for match in _CARD.finditer(text):
            if luhn.is_valid(re.sub(r"\D", "", match[0])):
                yield match.span()

    return find


def _ips(text: str) -> Iterator[Span]:
    for match in _IPV4.finditer(text):
        if _is_address(match[0]):
            yield match.span()
    for match in _IPV6.finditer(text):
        if match[0].count(":") >= 3 and _is_address(match[0]):  # "a::b" is code
            yield match.span()


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _phones(regions: Sequence[str]) -> Finder:
    try:
        import phonenumbers
    except ImportError:
        raise MissingExtraError("phonenumbers", "cleaning", "The rule 'personal_data'") from None
    for region in regions:
        if region not in phonenumbers.SUPPORTED_REGIONS:
            raise unknown_name("region", region, phonenumbers.SUPPORTED_REGIONS)
    matchers = [partial(phonenumbers.PhoneNumberMatcher, region=region) for region in regions or (None,)]

    def find(text: str) -> Iterator[Span]:
        if sum(map(str.isdigit, text)) < _FEWEST_DIGITS:
            return
        spans = sorted({(found.start, found.end) for matcher in matchers for found in matcher(text)})
        reached = 0
        for start, end in spans:
            if start >= reached:
                yield start, end
                reached = end

    return find
