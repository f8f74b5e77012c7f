"""Holds the manual against the code.

Decided here: the table of docs/refusals.md is exactly the code's list (code, status, fault); docs/threats.md answers every threat
from 1 to 41, those beside them have a letter, and each test that it names exists, as `file::name`; every relative link of every page leads to a file; pages
speak of fields that the policy reader knows. The last line has the form of cargo's `test result:` line.
"""

import re
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "istio" / "README.md", *sorted(DOCS.glob("**/*.md"))]
THREATS = 41


def refusals():
    """The table and the code's list, compared."""
    source = (ROOT / "filter/core/src/refusal/code.rs").read_text()
    code = {name: (status, fault.lower()) for name, status, fault in
            re.findall(r'^\s*\w+ = "([a-z0-9_]+)",\s*(\d{3}),\s*\w+,\s*(\w+);', source, re.M)}
    rows = re.findall(r"^\| `([a-z0-9_]+)` \| (\d{3}) \| (\w+) \|", (DOCS / "refusals.md").read_text(), re.M)
    table = {name: (status, fault) for name, status, fault in rows}
    if len(code) < 30:
        yield f"only {len(code)} codes were found in refusal/code.rs: its form has changed"
    if len(rows) != len(table):
        yield "a code stands twice in the table"
    for name in sorted(code.keys() | table.keys()):
        if code.get(name) != table.get(name):
            yield f"{name}: the code says {code.get(name)}, the table {table.get(name)}"


def threats():
    """Every threat has its row, and what the row names exists."""
    text = (DOCS / "threats.md").read_text()
    rows = dict(re.findall(r"^\| (\d+[a-z]?) \| (.*) \|$", text, re.M))
    for number in sorted({str(number) for number in range(1, THREATS + 1)} | rows.keys()):
        row = rows.get(number, "")
        named = re.findall(r"`([\w./-]+)::([^`]+)`", row)
        if not row:
            yield f"threat {number} has no row"
        elif not named and "later version" not in row:
            yield f"threat {number} names no test and does not say that it is a later version"
        for path, name in named:
            file = ROOT / path
            if not file.is_file():
                yield f"threat {number}: no file {path}"
            elif not exists(file, name):
                yield f"threat {number}: {path} has no `{name}`"


def exists(file, name):
    """Whether a source file has a test function, a scenario or a row of this name."""
    text = file.read_text()
    if file.suffix == ".rs":
        return re.search(rf"\bfn {re.escape(name)}\b", text) is not None
    if file.suffix == ".yaml":
        return re.search(rf"^- name: [\"']?{re.escape(name)}[\"']?\s*$", text, re.M) is not None
    return name in text


def links():
    """Relative links that lead nowhere."""
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
            if "://" not in target and not (page.parent / target).exists():
                yield f"{page.relative_to(ROOT)}: no {target}"


def fields():
    """Fields in the tables of docs/policy.md that no reader of the policy reads."""
    # A list of revocations is read alike from the policy and from a source, so its reader is in the core.
    readers = [*(ROOT / "config/src").glob("*.rs"), ROOT / "filter/core/src/token/revocation.rs"]
    reader = "".join(path.read_text() for path in readers)
    for cell in re.findall(r"^\| (`[^|]+`) \|", (DOCS / "policy.md").read_text().split("## Limits")[0], re.M):
        for name in re.findall(r"`([A-Za-z.]+)`", cell):
            for part in name.split("."):
                if f'"{part}"' not in reader:
                    yield f"policy.md: the reader knows no field `{part}`"


def main():
    checks = [("refusals.md is the code's list", refusals), ("threats.md names tests that exist", threats),
              ("links lead somewhere", links), ("policy.md speaks of fields that are read", fields)]
    failed = 0
    for says, check in checks:
        found = list(check())
        failed += bool(found)
        print(f'{"FAIL" if found else "ok  "} {says}')
        for text in found:
            print(f"     {text}")
    print(f'test result: {"FAILED" if failed else "ok"}. {len(checks) - failed} passed; {failed} failed; 0 ignored')
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
