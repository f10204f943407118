"""What a second tier of memory would save that keeps compressed what the pager recycles: simulations of traces, with
ordinary files as the content of their images, and with the processor time of this machine."""

import argparse
import json
import math
import subprocess
from pathlib import Path

import content
import machine
import report
from cells import cells
from prepared_trace import pick
from session import say
from words import absolute, add_output, numbers, positive

# What the tool calls the sources, with their titles and models.
SOURCES = {
    "unthrottled": "An unthrottled source: 80 µs for each read waited for, and 2 GiB/s",
    "throttled": "A throttled source: 3,000 reads and 125 MiB a second, whichever takes longer",
    "far": "A source far away: 20 ms for each read waited for",
}
# What comes into the tier: all that is recycled, or only what is recycled from the main queue.
ADMISSIONS = ("all", "main")
# The share whose work is shown, per cent.
SHOWN = 30
PAGE = 4096
# Of a page in the tier (CompressedTier): what finds it, and a chunk and what of it is not a link, bytes.
ENTRY, CHUNK, PAYLOAD = 32, 128, 124

# The simulations of one trace and amount of memory, by the share of the tier.
Row = dict[int, dict]
Rows = dict[tuple[str, int], Row]


def simulate(tool: Path, traces: list[Path], *options: str) -> list[dict]:
    """Simulations of traces, as the tool prints them."""
    done = subprocess.run([tool, "simulate", *traces, "--pages", "ahead", "--json", *options], stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise OSError(f"{tool.name} simulate has failed")
    return json.loads(done.stdout)


def with_tier(tool: Path, traces: list[Path], image: Path, memories: list[int], shares: list[int]) -> dict[str, list[dict]]:
    """Simulations with a tier for each admission."""
    return {admission: simulate(
        tool, traces, "--compress", image, "--compress-from", admission, "--compress-shares", ",".join(map(str, shares)),
        "--memory", ",".join(f"{memory}M" for memory in memories)) for admission in ADMISSIONS}


def with_more(tool: Path, traces: list[Path], memories: list[int], gain: float) -> list[dict]:
    """Simulations without a tier, but with as much memory as a tier of the shown share could hold."""
    return simulate(tool, traces, "--memory", ",".join(f"{more(memory, gain)}K" for memory in memories))


def more(memory: int, gain: float) -> int:
    """KiB of memory with which the pager has room for what it and a tier of the shown share can hold at most."""
    return round((memory << 10) * (1 + (gain - 1) * SHOWN / 100))


def costs_of(found: dict[str, list[dict]]) -> dict[str, dict]:
    """Takes the costs out of the rows. All rows of an admission have the same, on which their processor time rests."""
    return {admission: [row.pop("costs") for row in rows][0] for admission, rows in found.items()}


def gained(costs: dict) -> float:
    """How many pages that are kept a tier holds in the place of one."""
    if not costs["keptShare"]:
        return 1
    size = (1 / costs["ratio"] - (1 - costs["keptShare"])) / costs["keptShare"] * PAGE
    return PAGE / (size / PAYLOAD * CHUNK + CHUNK / 2 + ENTRY)


def grouped(rows: list[dict]) -> Rows:
    groups: Rows = {}
    for row in rows:
        groups.setdefault((row["pager"]["trace"], row["memory"] >> 20), {})[row["share"]] = row
    return groups


def pressed(groups: Rows) -> Rows:
    """Those in which the smallest tier has something to compress. The others fit into the memory."""
    return {key: row for key, row in groups.items() if compressed(row[min(share for share in row if share > 0)]) > 0}


def compressed(row: dict) -> int:
    return row["kept"] + row["refused"]


def awaited(pager: dict) -> int:
    return pager["reads"] - pager["readsAhead"]


def part(value: float, of: float) -> str:
    return f"{value / of:.2f}" if of else "-"


def mean(ratios: list[float]) -> float:
    return math.exp(sum(map(math.log, ratios)) / len(ratios))


def ratios(row: Row, source: str) -> list[float]:
    """The time with each share of the tier, as a share of the time without."""
    return [with_it[source] / row[0][source] for share, with_it in row.items() if share > 0]


def hidden(row: Row) -> list[float]:
    """The same with a throttled source, if processors do all of the tier's work while requests wait for the source."""
    return [(with_it["throttled"] - with_it["processorSeconds"]) / row[0]["throttled"]
            for share, with_it in row.items() if share > 0]


def means(title: str, of: list[list[float]]) -> tuple[str, ...]:
    return (title, "", "", *bold([mean(list(column)) for column in zip(*of)]))


def times(groups: Rows, of_main: Rows, source: str) -> list[str]:
    """A table of these ratios. The best of a row is bold if the tier saves anything."""
    shares = [share for share in next(iter(groups.values())) if share > 0]
    lines = [(trace, f"{memory} MiB", f"{row[0][source]:.1f} s", *bold(ratios(row, source)))
             for (trace, memory), row in groups.items()]
    lines.append(means("geometric mean", [ratios(row, source) for row in groups.values()]))
    lines.append(means("the same, from main only", [ratios(of_main[key], source) for key in groups]))
    if source == "throttled":
        lines.append(means("the same, from both queues, processor time hidden", [hidden(row) for row in groups.values()]))
    return cells("trace", "memory", "without", *(f"{share} %" for share in shares), rows=lines)


def bold(values: list[float]) -> list[str]:
    texts = [f"{value:.2f}" for value in values]
    best = min(texts, key=float)
    return [f"**{text}**" if text == best and float(best) < 1 else text for text in texts]


def work(groups: Rows, more_memory: dict[tuple[str, int], dict]) -> list[str]:
    """A table of what the tier does and saves with one share, and what as much more memory would save."""
    lines = []
    for key, row in groups.items():
        with_it, without, larger = row[SHOWN], row[0], more_memory[key]
        lines.append((
            key[0], f"{key[1]} MiB", f"{awaited(without['pager']):,}",
            part(awaited(with_it["pager"]), awaited(without["pager"])), part(awaited(larger), awaited(without["pager"])),
            f"{compressed(with_it):,}", part(with_it["taken"], compressed(with_it)), f"{with_it['processorSeconds']:.2f} s"))
    return cells("trace", "memory", "reads waited for without", f"with {SHOWN} %", "with more memory", "pages compressed",
                 "of these brought back", "processor time", rows=lines)


def markdown(document: dict) -> str:
    about, where = document["about"], document["about"]["machine"]
    groups, of_main = pressed(grouped(document["all"])), grouped(document["main"])
    costs, gain = document["costs"]["all"], document["gain"]
    keys = list(grouped(document["all"]))
    more_memory = dict(zip(keys, document["more"]))
    left_out = [f"{trace} with {memory} MiB" for trace, memory in keys if (trace, memory) not in groups]
    without_figures = f"Left out, because nothing is recycled: {', '.join(left_out)}."
    if not groups:
        return f"{without_figures}\n\nThat is all of them: each trace fits into the memory. Give less --memory.\n"
    lines = []
    for source, title in SOURCES.items():
        lines += [f"{title}. Time with a tier that has this share of the memory, of the time without:", "",
                  *times(groups, of_main, source)]
    lines += [f"What a tier with {SHOWN} % of the memory does. More memory means no tier, and as many frames as pages fit into "
              f"both, {more(1 << 10, gain) / (1 << 20):.2f} times the memory: about what a tier would save that chooses as well as the pager. "
              "That column is simulated without a content, so its pages of zeroes take memory, unlike those of the others.", "", *work(groups, more_memory)]
    lines.append(
        f"`flexpage simulate --compress`, with reading ahead; flexpage(1) says what is computed and what is left out. The tier takes "
        "all that is recycled, but for the lines from main only. Its processor time is in all times, but for the line that "
        "hides it: there, processors do all of its work while requests wait for the source. The content is "
        f"{about['image_mib']} MiB of ordinary files end to end: "
        f"{costs['keptShare'] * 100:.0f} % of the pages that are not zeroes compress to three quarters or less (LZ4, 4 KiB), and "
        f"all of them take {costs['ratio']:.2f} times less. A page takes {costs['keeping']:.1f} µs to keep, "
        f"{costs['refusing']:.1f} µs to refuse, and {costs['taking']:.1f} µs to bring back. {where['processor']}, "
        f"{where['kernel']}; load average at the start {about['load']}, nice {about['nice']}; {about['date']}.")
    if left_out:
        lines += ["", without_figures]
    return "\n".join(lines) + "\n"


def arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="Scripts/bench compress", description=__doc__)
    add = parser.add_argument
    add("--traces", type=absolute, metavar="DIR", help="where the traces are: op,offset,length in .csv.zst or .csv files")
    add("--only", type=lambda word: word.split(","), metavar="TRACE,…", help="some of the traces")
    add("--memory", type=numbers, default=[64, 256], metavar="MIB,…", help="amounts of memory (64,256)")
    add("--shares", type=numbers, default=[10, 20, 30, 40, 50, 60], metavar="PERCENT,…",
        help=f"shares of the tier (10,20,30,40,50,60); {SHOWN} is added")
    add("--size", type=positive, default=1024, metavar="MIB", help="the content (1024)")
    add("--show", type=absolute, metavar="DIR", help="do not simulate; write the tables again from results")
    add_output(parser)
    add("--tool", type=absolute, required=True, help=argparse.SUPPRESS)
    options = parser.parse_args(words)
    options.shares = sorted({*options.shares, SHOWN})
    return options


def main(words: list[str]) -> int:
    options = arguments(words)
    if options.show:
        document = json.loads((options.show / "compress.json").read_text())
    else:
        document = measured(options)
    report.write_document("compress", document, markdown(document), options)
    return 0


def measured(options: argparse.Namespace) -> dict:
    traces = list(pick(options.traces, options.only).values())
    with machine.reserved(options.work):
        about = machine.about(options.work) | {"image_mib": options.size}
        image = content.make("real", options.work, options.size)
        say(f"Simulating {len(traces)} traces")
        found = with_tier(options.tool, traces, image, options.memory, options.shares)
        costs = costs_of(found)
        gain = gained(costs["all"])
        more_memory = with_more(options.tool, traces, options.memory, gain)
        return {"about": about, "costs": costs, "gain": gain, **found, "more": more_memory}
