"""The measuring part of scripts/bench loss: goodput over bad paths, Linux's and ours on the same path."""

import argparse
import json
import statistics
import subprocess
import sys
import threading
from pathlib import Path

from bench import answer_of, inside, machine

RTTS = {1: ("500us", 3), 20: ("10ms", 5), 100: ("50ms", 8)}  # milliseconds: (delay one way, seconds of a run)
CHANCES = {
    "loss0": "",
    "loss01": "loss:0.1%",
    "loss1": "loss:1%",
    "loss3": "loss:3%",
    "burst": "loss:0.3%,burst:3",
    "reorder": "reorder:2%",
}
PATHS = [f"rtt{rtt}_{chance}" for rtt in RTTS for chance in CHANCES
         if chance.startswith("loss") or rtt > 1]
QUICK = ["rtt20_loss0", "rtt20_loss1"]
CASES = {"out": ("out", 1), "in": ("in", 1), "out3": ("out", 3), "in3": ("in", 3)}  # (data goes, flows)
SIDES = ("reference", "ours")
RATE = 100_000_000
PORT = 5001
# Two flows of ours and one of Linux's share the path for so long, in seconds: the first ten or so belong to whoever left
# slow start last.
SHARING = 60
# What a connection over these paths may need to come about: some SYNs are lost, Linux waits 1 s, 2 s, 4 s …
PATIENCE = 40


def main():
    parser = argparse.ArgumentParser(prog="bench loss")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--path", action="append", metavar="NAME", help=", ".join(PATHS))
    for name in ("perf", "peer", "near", "router", "results"):
        parser.add_argument(f"--{name}", help=argparse.SUPPRESS)
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    for name in args.path or []:
        if name not in PATHS:
            parser.error(f"no path {name}; there are: {', '.join(PATHS)}")
    if args.check:
        return
    print(machine())
    wanted = args.path or (QUICK if args.quick else PATHS)
    measure(args, [name for name in PATHS if name in wanted])


def measure(args, paths):
    rounds = args.rounds or (2 if args.quick else 5)
    names = [f"{path}_{case}" for path in paths for case in cases_of(path)]
    results = {name: {side: [] for side in SIDES} for name in names}
    whole = False
    (Path(args.results) / "loss.json").unlink(missing_ok=True)
    try:
        # Round by round, and both sides one after the other, so that what the machine does meanwhile hits both.
        for number in range(rounds):
            for path in paths:
                for case in cases_of(path):
                    progress(f"round {number + 1} of {rounds}, {path}_{case}")
                    seconds = args.seconds or (2 if args.quick else RTTS[rtt_of(path)][1])
                    impair = settings(path, seed=number + 1)
                    if case == "share":
                        runs = together(args, impair, args.seconds or (5 if args.quick else SHARING))
                    else:
                        runs = {side: once(args, impair, *CASES[case], side, seconds) for side in SIDES}
                    for side in SIDES:
                        results[f"{path}_{case}"][side].append(runs[side])
        whole = True
    finally:
        progress("")
        # An hour's rounds are not lost with the last one, but the summary is of whole rounds only.
        report(Path(args.results), {name: sides for name, sides in results.items() if sides["ours"]}, whole)


def cases_of(path):
    """Whoever loses nothing but what it overflows itself has to share."""
    return [*CASES, "share"] if path.endswith("loss0") else list(CASES)


def progress(text):
    print(f"\r{text:50}\r", end="", file=sys.stderr, flush=True)


def settings(path, seed):
    """What the bridge does to frames, each way for itself."""
    rtt = rtt_of(path)
    delay, _ = RTTS[rtt]
    queue = max(65536, RATE // 8 * rtt // 1000)
    items = [f"rate:{RATE // 1_000_000}mbit", f"queue:{queue}", f"delay:{delay}", CHANCES[path.split("_")[1]],
             f"seed:{seed}"]
    return ",".join(item for item in items if item)


def rtt_of(path):
    return int(path.split("_")[0].removeprefix("rtt"))


def once(args, impair, way, flows, side, seconds):
    """One run: Mbit/s that the receiver verified, and what the kernel's sender sent again, in percent."""
    near, peer = near_side(args, side), inside(args.peer) + [args.perf]
    feed, drain = ["feed"], ["drain", "--seconds", str(seconds)]
    server, client = (drain, feed) if way == "out" else (feed, drain)
    listen = peer + server + ["--listen", f"0.0.0.0:{PORT}", "--flows", str(flows)]
    connect = near + client + ["--connect", f"10.0.2.1:{PORT}", "--flows", str(flows)]
    sender = args.peer if way == "in" else (args.near if side == "reference" else None)
    with Processes() as processes:
        processes.start(bridge(args, impair), "bridging")
        before = counters(sender)
        one = processes.start(listen, "listening")
        other = processes.start(connect)
        answer = last_line(one if way == "out" else other, seconds + PATIENCE)
        after = counters(sender)
    again = None if sender is None else 100 * (after[1] - before[1]) / max(after[0] - before[0], 1)
    return {"mbit_s": mbit_s(answer), "again": again}


def together(args, impair, seconds):
    """Two flows of ours and one of Linux's to the same peer at once: Mbit/s of one flow, of either side."""
    flows = {"ours": 2, "reference": 1}
    with Processes() as processes:
        processes.start(bridge(args, impair), "bridging")
        drains = {}
        for port, (side, count) in enumerate(flows.items(), PORT):
            drains[side] = processes.start(
                inside(args.peer) + [args.perf, "drain", "--seconds", str(seconds),
                                     "--listen", f"0.0.0.0:{port}", "--flows", str(count)], "listening")
        for port, (side, count) in enumerate(flows.items(), PORT):
            processes.start(near_side(args, side) + ["feed", "--connect", f"10.0.2.1:{port}", "--flows", str(count)])
        answers = {side: last_line(drain, seconds + PATIENCE) for side, drain in drains.items()}
    return {side: {"mbit_s": mbit_s(answer) / flows[side], "again": None} for side, answer in answers.items()}


def bridge(args, impair):
    """The path, as fresh for each run, so that the same frames would have the same fate."""
    return [args.perf, "bridge", f"netns:{args.router},tap://path", f"netns:{args.peer},tap://path?impair={impair}"]


def mbit_s(answer):
    return answer["bytes"] * 8e-6 / answer["seconds"]


class Processes:
    """Programs that end with the block, the last one first: the sender, when the receiver has what it wanted."""

    def __enter__(self):
        self.all = []
        return self

    def __exit__(self, *_):
        for process in reversed(self.all):
            process.kill()
            process.wait()
            process.stdout.close()

    def start(self, command, ready=None):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.all.append(process)
        if ready and not process.stdout.readline().startswith(ready):
            sys.exit(f"bench: {' '.join(command)} does not start")
        return process


def near_side(args, side):
    if side == "ours":
        return inside(args.router) + [args.perf, "--stack", "tap://own,ip=10.0.3.2/24,gw=10.0.3.1"]
    return inside(args.near) + [args.perf]


def last_line(process, seconds):
    watchdog = threading.Timer(seconds, process.kill)
    watchdog.start()
    text = process.stdout.readline()
    process.wait()
    watchdog.cancel()
    return answer_of(text, process)


def counters(namespace):
    """Segments that the kernel sent there, and those of them that it sent again."""
    if namespace is None:
        return None
    text = subprocess.run(inside(namespace) + ["cat", "/proc/net/snmp"], capture_output=True, text=True).stdout
    names, values = (line.split()[1:] for line in text.splitlines() if line.startswith("Tcp:"))
    tcp = dict(zip(names, map(int, values)))
    return tcp["OutSegs"], tcp["RetransSegs"]


def report(folder, results, whole):
    summary = {}
    print(f"\n{'':9}{'goodput in Mbit/s':>36}{'':19}{'sent again, Linux':>22}")
    print(f"{'figure':22} {'ours':>10} {'reference':>10} {'ratio':>7} {'spread':>7}"
          f"{'to ours':>14} {'to Linux':>9}")
    for name, sides in results.items():
        goodput = {side: [run["mbit_s"] for run in runs] for side, runs in sides.items()}
        # A reference of nothing at all, while every segment is lost, says nothing about ours.
        ratios = [ours / max(reference, 0.001) for ours, reference in zip(goodput["ours"], goodput["reference"])]
        ratio = statistics.median(ratios)
        spread = (max(ratios) - min(ratios)) / max(ratio, 0.001)
        summary[name] = round(ratio, 4)
        summary[f"{name}_spread"] = round(spread, 4)
        ours, reference = (statistics.median(goodput[side]) for side in ("ours", "reference"))
        again = [share(sides[side]) for side in ("ours", "reference")]
        print(f"{name:22} {ours:10.2f} {reference:10.2f} {ratio:7.2f} {spread:7.2f}"
              f"{again[0]:>14} {again[1]:>9}")
    everything = {"machine": machine(), "figures": results}
    (folder / "loss-rounds.json").write_text(json.dumps(everything, indent=2) + "\n")
    print(f"\nthe rounds are in {folder}/loss-rounds.json")
    if whole:
        (folder / "loss.json").write_text(json.dumps(summary, indent=2) + "\n")
        print(f"the ratios are in {folder}/loss.json")


def share(runs):
    again = [run["again"] for run in runs if run["again"] is not None]
    return f"{statistics.median(again):.2f} %" if again else "-"


if __name__ == "__main__":
    main()
