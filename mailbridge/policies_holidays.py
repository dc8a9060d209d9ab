"""Public holidays of a country or a part of it, from the `holidays` library, which is only loaded when one is named.

Standards: ISO 3166-1 (countries), ISO 3166-2 (subdivisions).
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from datetime import date


@dataclass(frozen=True, slots=True)
class CountryHolidays:
    """The public holidays of a country, with those that are given off for one on a weekend."""

    country: str
    subdivision: str = ""
    _years: dict[int, frozenset[date]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def in_year(self, year: int) -> frozenset[date]:
        """The days of that year; none for years that the library knows nothing of."""
        known = self._years.get(year)
        if known is None:
            import holidays

            found = holidays.country_holidays(
                self.country, subdiv=self.subdivision or None, years=year, expand=False
            )
            known = self._years[year] = frozenset(found)
        return known


def country_problem(country: str) -> str:
    """Why a country cannot be named, '' when it can."""
    known = _countries()
    if country in known:
        return ""
    if country.upper() in known:
        return f"did you mean '{country.upper()}'?"
    return "no such country: allowed is a code of ISO 3166-1 such as 'IT', 'DE' or 'US'"


def subdivision_problem(country: str, subdivision: str) -> str:
    """Why a part of a known country cannot be named, '' when it can or is ''."""
    known = _countries()[country]
    if not subdivision or subdivision in known:
        return ""
    if not known:
        return f"no parts of '{country}' are known: leave subdivision out"
    near = difflib.get_close_matches(subdivision.upper(), known, 1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return f"no such part of '{country}': {hint}allowed is {', '.join(known)}"


def _countries() -> dict[str, list[str]]:
    import holidays

    return holidays.list_supported_countries(include_aliases=True)
