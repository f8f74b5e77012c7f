"""The figures of the bench: from what each turn measured to medians and spreads, and their pictures.

Decided here: CPU per request is the whole Envoy process's user and system time in a turn over the requests of that turn;
a ratio compares two contenders within one group of turns, so that what else the machine does falls on both.
"""

import statistics
from dataclasses import dataclass, field


@dataclass
class Turn:
    """One contender's load in one group. CPU in microseconds."""

    requests: int
    errors: int
    cpu_us: float
    seconds: float
    micros: list = field(repr=False)

    @property
    def cpu_per_request(self):
        return self.cpu_us / self.requests


def spread(values):
    """Minimum, quartiles, median and maximum of at least two values."""
    q1, median, q3 = statistics.quantiles(values, n=4, method="inclusive")
    rounded = {"min": min(values), "q1": q1, "median": median, "q3": q3, "max": max(values)}
    return {name: round(value, 3) for name, value in rounded.items()}


def percentile(turns, part):
    """The latency (µs) under which `part` of all requests of the turns stayed."""
    counts = {}
    for turn in turns:
        for micros, count in turn.micros:
            counts[micros] = counts.get(micros, 0) + count
    left = part * sum(counts.values())
    for micros in sorted(counts):
        left -= counts[micros]
        if left <= 0:
            return micros
    return None


def row(contender, workload, turns, about):
    """The report's object for one contender under one workload; `turns` are lists by group, by the contenders' names."""
    own, bare = turns[contender.name], turns["bare"]
    seconds = sum(t.seconds for t in own)
    found = {
        "contender": contender.name, "workload": workload, "checks": contender.checks,
        "requests": sum(t.requests for t in own), "errors": sum(t.errors for t in own), "turns": len(own),
        "requests_per_second": round(sum(t.requests for t in own) / seconds, 1),
        "cpu_us_per_request": spread([t.cpu_per_request for t in own]),
        "ratio_to_bare": spread(ratios(own, bare)),
        "cpu_us_above_bare": spread(above(own, bare)),
        "latency_us": {"p50": percentile(own, 0.5), "p99": percentile(own, 0.99)},
    }
    if contender.unverified:
        found["unverified"] = contender.unverified
        found["cpu_us_above_unverified"] = spread(above(own, turns[contender.unverified]))
    if "jwt_authn" in turns and contender.name != "jwt_authn":
        found["ratio_to_jwt_authn"] = spread(ratios(own, turns["jwt_authn"]))
    return {**found, **about}


def ratios(turns, others):
    return [t.cpu_per_request / o.cpu_per_request for t, o in zip(turns, others, strict=True)]


def above(turns, others):
    return [t.cpu_per_request - o.cpu_per_request for t, o in zip(turns, others, strict=True)]


def markdown(rows, notes):
    """report.md: the figures as tables and what they mean."""
    out = ["# CPU and latency per request", "", *notes, "", *verification(rows)]
    for workload in dict.fromkeys(r["workload"] for r in rows):
        out += [f"## {workload}", "",
                "| contender | CPU µs/request: median (q1–q3) | ratio to bare: median (q1–q3; min–max) | above bare, µs | p50 / p99 ms | requests/s | requests | errors |",
                "|---|---|---|---|---|---|---|---|"]
        for r in (r for r in rows if r["workload"] == workload):
            cpu, ratio, over, late = r["cpu_us_per_request"], r["ratio_to_bare"], r["cpu_us_above_bare"], r["latency_us"]
            out.append(
                f'| `{r["contender"]}` | {cpu["median"]:.1f} ({cpu["q1"]:.1f}–{cpu["q3"]:.1f}) '
                f'| {ratio["median"]:.2f} ({ratio["q1"]:.2f}–{ratio["q3"]:.2f}; {ratio["min"]:.2f}–{ratio["max"]:.2f}) '
                f'| {over["median"]:.1f} | {late["p50"] / 1000:.2f} / {late["p99"] / 1000:.2f} '
                f'| {r["requests_per_second"]:.0f} | {r["requests"]} | {r["errors"]} |')
        out += ["", f"![CPU per request, {workload}]({workload}.svg)", ""]
    out += ["What each contender checks:", ""]
    checks = dict.fromkeys((r["contender"], r["workload"].split("-")[0], r["checks"]) for r in rows)
    out += [f"- `{name}` ({kind}): {text}" for name, kind, text in checks]
    return "\n".join(out) + "\n"


def verification(rows):
    """The summary of what verifying a token costs beside Envoy's own check; empty when it was not measured."""
    found = {(r["workload"], r["contender"]): r for r in rows if "unverified" in r}
    if not found:
        return []
    out = ["## Cost of a verified request", "",
           "GET without a body. `whole request` compares the CPU of the whole Envoy per request. `verifying` is what is above the same",
           "filter where it verifies no token (`…_open`): for `postern` that holds the rules and the caller's headers too, which `jwt_authn` has not.", "",
           "| workload | whole request: postern / jwt_authn, median (q1–q3) | above bare, µs: postern · jwt_authn | verifying, µs (q1–q3): postern · jwt_authn |",
           "|---|---|---|---|"]

    def span(values, digits):
        return f'{values["median"]:.{digits}f} ({values["q1"]:.{digits}f}–{values["q3"]:.{digits}f})'

    for workload in dict.fromkeys(workload for workload, _ in found):
        ours, theirs = found[workload, "postern"], found[workload, "jwt_authn"]
        out.append(
            f'| {workload} | {span(ours["ratio_to_jwt_authn"], 2)} '
            f'| {ours["cpu_us_above_bare"]["median"]:.1f} · {theirs["cpu_us_above_bare"]["median"]:.1f} '
            f'| {span(ours["cpu_us_above_unverified"], 1)} · {span(theirs["cpu_us_above_unverified"], 1)} |')
    return [*out, ""]


def picture(rows, workload):
    """An SVG: a bar for each contender's median CPU per request, with a line from its first to its third quartile."""
    rows = [r for r in rows if r["workload"] == workload]
    top = max(r["cpu_us_per_request"]["q3"] for r in rows) * 1.25
    left, width, line = 130, 520, 44

    def x(value):
        return left + width * value / top

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 20}" height="{len(rows) * line + 60}" '
             'font-family="sans-serif" font-size="13">', '<rect width="100%" height="100%" fill="white"/>',
             f'<text x="10" y="22" font-weight="bold">CPU µs per request, {workload}: median and quartiles</text>']
    for number, r in enumerate(rows):
        cpu, y = r["cpu_us_per_request"], 40 + number * line
        middle = y + 14
        parts += [
            f'<text x="10" y="{middle + 4}">{r["contender"]}</text>',
            f'<rect x="{left}" y="{y}" width="{x(cpu["median"]) - left:.1f}" height="28" fill="#5b7fa6"/>',
            f'<path d="M{x(cpu["q1"]):.1f} {middle}H{x(cpu["q3"]):.1f}M{x(cpu["q1"]):.1f} {middle - 6}v12M{x(cpu["q3"]):.1f} {middle - 6}v12" stroke="black" fill="none"/>',
            f'<text x="{x(cpu["q3"]) + 8:.1f}" y="{middle + 4}">{cpu["median"]:.1f} (×{r["ratio_to_bare"]["median"]:.2f})</text>',
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"
