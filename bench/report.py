# SPDX-License-Identifier: GPL-2.0-or-later
"""Samples to medians, ratios and a table."""
import math
import statistics

PEERS = ("tcg", "native", "qemu-kvm", "qemu-img")


def geometric_mean(values):
    return math.exp(statistics.fmean(math.log(value) for value in values))


def pairs(engines):
    """(engine, peer) for the ratios: each engine of ours by each peer, and QEMU by native."""
    ours = [engine for engine in engines if engine not in PEERS]
    found = [(engine, peer) for peer in PEERS if peer in engines for engine in ours]
    if {"tcg", "native"} <= set(engines):
        found.append(("tcg", "native"))
    return found


class Row:
    """The samples of one work on each engine; `sense` is 1 when more is better, -1 when less is, 0 when it is no race."""

    def __init__(self, name, group, unit, sense=1):
        self.name, self.group, self.unit, self.sense = name, group, unit, sense
        self.samples = {}

    def add(self, engine, sample):
        self.samples.setdefault(engine, []).append(sample)

    def median(self, engine):
        """None unless each sample is good: a wrong answer now and then is a wrong answer."""
        samples = self.samples.get(engine, [])
        if not samples or any(sample.error for sample in samples):
            return None
        return statistics.median(sample.value for sample in samples)

    def ratio(self, engine, peer):
        """How many times faster than the peer."""
        mine, other = self.median(engine), self.median(peer)
        if not self.sense or not mine or not other:
            return None
        return (mine / other) ** self.sense

    def check_answers(self):
        """Whoever answers otherwise than the reference is wrong: native, else the most frequent answer."""
        answers = {engine: [s for s in samples if s.answer] for engine, samples in self.samples.items()}
        every = [sample.answer for samples in answers.values() for sample in samples]
        if not every:
            return
        right = answers["native"][0].answer if answers.get("native") else statistics.mode(every)
        for samples in answers.values():
            for sample in samples:
                if sample.answer != right:
                    sample.error = f"wrong answer {sample.answer!r}, not {right!r}"

    def errors(self):
        return [(engine, sample.error) for engine, samples in self.samples.items() for sample in samples if sample.error]

    def as_json(self, engines):
        values = {}
        for engine, samples in self.samples.items():
            good = [sample.value for sample in samples if not sample.error]
            values[engine] = {
                "median": self.median(engine), "samples": good,
                "details": [sample.details for sample in samples if sample.details],
                "errors": [sample.error for sample in samples if sample.error],
            }
        ratios = {f"{a}/{b}": self.ratio(a, b) for a, b in pairs(engines)} if self.sense else {}
        return {"name": self.name, "group": self.group, "unit": self.unit, "engines": values, "ratios": ratios}


def figure(value):
    if value is None:
        return "-"
    if not value:
        return "0"
    return f"{value:.{max(0, 3 - math.floor(math.log10(abs(value))))}f}" if value < 10000 else f"{value:.0f}"


def cell(row, engine):
    if row.median(engine) is None and row.samples.get(engine):
        return "FAILED"
    return figure(row.median(engine))


def means(rows, engines):
    """Geometric means of the ratios, of each group and of all."""
    found = {}
    groups = list(dict.fromkeys(row.group for row in rows if row.sense))
    for group in groups + (["all"] if len(groups) > 1 else []):
        chosen = [row for row in rows if row.sense and group in (row.group, "all")]
        for pair in pairs(engines):
            ratios = [ratio for row in chosen if (ratio := row.ratio(*pair))]
            if ratios:
                found.setdefault(group, {})["/".join(pair)] = geometric_mean(ratios)
    return found


def table(rows, engines):
    """The table as text."""
    heads = ["work", "unit", *engines, *("/".join(pair) for pair in pairs(engines))]
    lines = [[row.name, row.unit, *(cell(row, engine) for engine in engines),
              *(figure(row.ratio(*pair)) for pair in pairs(engines))] for row in rows]
    for group, ratios in means(rows, engines).items():
        lines.append([f"geometric mean, {group}", "", *("" for _ in engines),
                      *(figure(ratios.get("/".join(pair))) for pair in pairs(engines))])
    widths = [max(len(line[i]) for line in [heads, *lines]) for i in range(len(heads))]
    return "\n".join("  ".join(word.ljust(width) if i < 2 else word.rjust(width)
                               for i, (word, width) in enumerate(zip(line, widths))).rstrip() for line in [heads, *lines])
