"""The measuring part of scripts/bench, which makes the namespaces and says what the figures are."""

import argparse
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

FIGURES = {  # name: (the client's command, what counts, the ratio's name)
    "tap_in": ("in", "gbit_s", "tap_in_vs_veth"),
    "tap_out": ("out", "gbit_s", "tap_out_vs_veth"),
    "tap_rr": ("rr", "per_s", "tap_rr_vs_veth"),
    "tap_cps": ("cps", "per_s", "tap_cps_vs_veth"),
    "udp64_in": ("datagrams-in --size 64", "per_s", "udp64_in_vs_veth"),
    "udp64_out": ("datagrams-out --size 64", "per_s", "udp64_out_vs_veth"),
    "udp1400_in": ("datagrams-in --size 1400", "per_s", "udp1400_in_vs_veth"),
    "udp1400_out": ("datagrams-out --size 1400", "per_s", "udp1400_out_vs_veth"),
    "super_in": ("datagrams-in --size 1400 --super", "per_s", "super_in_vs_veth"),
    "super_out": ("datagrams-out --size 1400 --super", "per_s", "super_out_vs_veth"),
    "switch": ("out", "gbit_s", "switch_vs_loopback"),
    "switch_rr": ("rr", "per_s", "switch_rr_vs_loopback"),
    "epoll": ("load", "per_s", "epoll_vs_veth"),
    "epoll_1000": ("load", "per_s", "epoll_1000_vs_veth"),
    "epoll_plain": ("load", "per_s", "epoll_plain_vs_veth"),
    "connect": ("connects", "p50_us", "connect_vs_waiting"),
    "socket_in": ("in", "gbit_s", "socket_in_vs_endpoint"),
    "socket_out": ("out", "gbit_s", "socket_out_vs_endpoint"),
    "socket_rr": ("rr", "per_s", "socket_rr_vs_endpoint"),
}
# Servers of many connections: whose calls, and where the stack's is.
MANY = {"epoll": ("library", "10.0.2.2:5004"), "epoll_plain": ("plain", "10.0.3.2:5004")}
MANY["epoll_1000"] = MANY["epoll"]
USUAL = ["tap_in", "tap_out", "tap_rr", "switch", "switch_rr"]
SERVERS = {
    "out": ("sink", 5001),
    "in": ("source", 5002),
    "rr": ("echo", 5003),
    "connects": ("echoes", 5005),
    "datagrams-in": ("datagrams", 5004),
    "datagrams-out": ("datagrams", 5004),
}
PORTS = itertools.count(6001)
BULK = 10_000_000_000


def main():
    parser = argparse.ArgumentParser(prog="bench")
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help=f"{', '.join(FIGURES)}, or bulk")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float)
    for name in ("perf", "peer", "near", "alone", "results"):
        parser.add_argument(f"--{name}", help=argparse.SUPPRESS)
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    unknown = [name for name in args.figures if name not in FIGURES and name != "bulk"]
    if unknown:
        parser.error(f"no figure {unknown[0]}; there are: {', '.join(FIGURES)}, bulk")
    if args.check:
        return
    print(machine())
    if "bulk" in args.figures:
        bulk(args)
    figures = [name for name in args.figures or USUAL if name in FIGURES]
    if figures:
        measure(args, figures)


def measure(args, figures):
    rounds = args.rounds or (5 if args.quick else 11)
    seconds = args.seconds or (1 if args.quick else 3)
    wanted = {SERVERS[command(name)] for name in figures
              if not name.startswith("switch") and command(name) in SERVERS}
    servers = [start_server(args, *server) for server in wanted]
    servers += start_many(args, figures)
    results = {name: {"ours": [], "reference": []} for name in figures}
    try:
        # Round by round, so that what the machine does meanwhile hits all figures and both sides.
        for number in range(rounds):
            print(f"\rround {number + 1} of {rounds}", end="", file=sys.stderr, flush=True)
            for name in figures:
                value = FIGURES[name][1]
                for side in ("reference", "ours"):
                    once = connections if name == "tap_cps" else transfer
                    results[name][side].append(once(args, name, side, seconds)[value])
    finally:
        print("\r", end="", file=sys.stderr)
        for server in servers:
            server.terminate()
    report(Path(args.results), results)


def transfer(args, name, side, seconds):
    port = SERVERS.get(command(name), ("", 0))[1]
    return run(client(args, name, side, port) + ["--seconds", str(seconds)])


def start_many(args, figures):
    """The servers of many connections: one of the kernel, and one for each kind of calls on a TAP of its own."""
    servers = []
    kinds = {MANY[name] for name in figures if name in MANY}
    if kinds:
        servers.append(start(inside(args.near) + [args.perf, "echoes", "--listen", "0.0.0.0:5004"]))
    for calls, at in kinds:
        link = {"library": "t1", "plain": "t2"}[calls]
        stack = f"tap://{link},ip={at.split(':')[0]}/24"
        echoes = ["--stack", stack, "echoes", "--listen", "0.0.0.0:5004", "--calls", calls]
        servers.append(start(inside(args.peer) + [args.perf, *echoes]))
    return servers


def connections(args, name, side, seconds):
    """On a port of its own, and briefly: a client has some 28 000 ports for one server, keeps each for a
    minute after use, and looks for a free one ever longer."""
    port = next(PORTS)
    server = start_server(args, "echo", port)
    answer = run(client(args, name, side, port) + ["--seconds", str(min(seconds, 0.5))])
    server.terminate()
    server.wait()
    return answer


def report(folder, results):
    summary = {}
    print(f"\n{'figure':12} {'unit':10} {'ours':>10} {'reference':>10} {'ratio':>7} {'spread':>7}")
    for name, sides in results.items():
        ratios = [ours / reference for ours, reference in zip(sides["ours"], sides["reference"])]
        sides["ratios"] = [round(ratio, 4) for ratio in ratios]
        ratio = statistics.median(ratios)
        spread = (max(ratios) - min(ratios)) / ratio
        _, value, key = FIGURES[name]
        summary[key] = round(ratio, 4)
        summary[f"{key}_spread"] = round(spread, 4)
        unit = {"gbit_s": "Gbit/s", "per_s": "per second", "p50_us": "us"}[value]
        ours, reference = (statistics.median(sides[side]) for side in ("ours", "reference"))
        print(f"{name:12} {unit:10} {ours:10.1f} {reference:10.1f} {ratio:7.2f} {spread:7.2f}")
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    everything = {"machine": machine(), "figures": results}
    (folder / "rounds.json").write_text(json.dumps(everything, indent=2) + "\n")
    print(f"\nthe ratios are in {folder}/summary.json, the rounds in {folder}/rounds.json")


def bulk(args):
    """10 GB each way; the sender closes right after its last send and its program ends."""
    server = start_server(args, "sink", 5001, "--once")
    run(tap(args) + ["out", "10.0.0.1:5001", "--bytes", str(BULK), "--close-at-once"])
    verdict("stack to kernel", answer_of(server.communicate()[0], server))

    server = start_server(args, "source", 5002, "--once", "--close-at-once")
    answer = run(tap(args) + ["in", "10.0.0.1:5002", "--bytes", str(BULK)])
    server.communicate()
    verdict("kernel to stack", answer)


def verdict(way, answer):
    if answer["bytes"] != BULK:
        sys.exit(f"bench: {way}: {answer['bytes']} bytes arrived of {BULK}")
    print(f"{way}: {BULK} bytes, every one as it was sent, {answer['gbit_s']} Gbit/s")


def command(name):
    return FIGURES[name][0].split()[0]


def client(args, name, side, port):
    what, *options = FIGURES[name][0].split()
    if name.startswith("switch"):
        pair = ["--in-process"] if side == "ours" else []
        return inside(args.alone) + [args.perf, "pair", what, *pair]
    if name in MANY:
        at = MANY[name][1] if side == "ours" else "10.0.1.2:5004"
        number = "1000" if name == "epoll_1000" else "64"
        return inside(args.peer) + [args.perf, what, at, "--connections", number]
    if name.startswith("socket") and side == "reference":
        return tap(args) + ["endpoint", what, f"10.0.0.1:{port}"]
    if name == "connect":
        waits = ["--wait"] if side == "reference" else []
        return tap(args) + [what, f"10.0.0.1:{port}", *waits]
    if side == "ours":
        return tap(args) + [what, f"10.0.0.1:{port}", *options]
    return inside(args.near) + [args.perf, what, f"10.0.1.1:{port}", *options]


def tap(args):
    return inside(args.peer) + [args.perf, "--stack", "tap://t0,ip=10.0.0.2/24"]


def inside(namespace):
    return ["nsenter", f"--net=/run/netns/{namespace}", "--"]


def start_server(args, server, port, *options):
    """A server on the kernel of the peer, ready when it says where it listens."""
    return start(inside(args.peer) + [args.perf, server, "--listen", f"0.0.0.0:{port}", *options])


def start(command):
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    if not process.stdout.readline().startswith("listening"):
        sys.exit(f"bench: {' '.join(command)} does not start")
    # What else it prints, a line for each run, is less than a pipe holds.
    return process


def run(command):
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=300)
    except subprocess.TimeoutExpired:
        sys.exit(f"bench: {' '.join(command)} does not end")
    return answer_of(done.stdout, done, command)


def answer_of(text, process, command=None):
    command = " ".join(command or process.args)
    if process.returncode != 0:
        sys.exit(f"bench: {command} failed ({process.returncode}): {text}")
    answer = json.loads(text)
    if answer["ok"] is not True:
        sys.exit(f"bench: {command}: not every byte arrived as it was sent")
    return answer


def machine():
    models = [line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
              if line.startswith("model name")]
    git = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    commit = subprocess.run(git, capture_output=True, text=True).stdout.strip() or "unknown"
    model = models[0] if models else platform.machine()
    return f"{model}, {os.cpu_count()} cores, Linux {platform.release()}, commit {commit}"


if __name__ == "__main__":
    main()
