# SPDX-License-Identifier: GPL-2.0-or-later
"""The log of `bench` as tables: medians and ratios for people, all figures for programs."""
import statistics

from systems import NAMES


def median(lines, key):
    v = [x[key] for x in lines if key in x]
    return statistics.median(v) if v else None


def rows(lines):
    """One object for each row, in the order of the log: seconds, ratio, CPU and requests by system."""
    out = {}
    for x in lines:
        out.setdefault(x["row"], {}).setdefault(x["system"], []).append(x)
    table = []
    for row, systems in out.items():
        r = {"workload": row, "systems": {}}
        base = median(systems.get("kernel", []), "seconds")
        for name, got in systems.items():
            if name == "count":
                r["requests"] = got[-1]["requests"]
                continue
            m = {"rounds": len(got)}
            for key in ("seconds", "server_cpu", "busy_cpu", "median_us", "mount_ms", "fsync_ms", "rss_kib",
                        "own_kib"):
                v = median(got, key)
                if v is not None:
                    m[key] = v
            if base and m.get("seconds"):
                m["ratio"] = base / m["seconds"]
            r["systems"][name] = m
        table.append(r)
    return table


def requests_text(counts):
    total = sum(counts.values())
    top = sorted(counts.items(), key=lambda kv: -kv[1])[:3]
    return "%d: %s" % (total, ", ".join("%s %d" % (k, v) for k, v in top)) if total else "0"


def people(lines, out):
    table = rows(lines)
    speed = [r for r in table if any("seconds" in m for m in r["systems"].values()) or "requests" in r]
    names = [n for n in NAMES if n != "kernel" and any(n in r["systems"] for r in speed)]
    if speed:
        print("| workload | kernel ext4, s | %s | CPU s: kernel, ours | requests |" %
              " | ".join(names), file=out)
        print("|---|---:|%s---:|---|" % ("---:|" * len(names)), file=out)
    for r in speed:
        s = r["systems"]
        cells = ["%.3f" % s["kernel"]["seconds"] if "seconds" in s.get("kernel", {}) else "-"]
        cells += ["%.2f" % s[n]["ratio"] if "ratio" in s.get(n, {}) else "-" for n in names]
        cpu = ["%.2f" % s[n]["busy_cpu"] if "busy_cpu" in s.get(n, {}) else "-" for n in ("kernel", "ours")]
        print("| %s | %s | %s | %s |" % (r["workload"], " | ".join(cells), ", ".join(cpu),
                                         requests_text(r.get("requests", {})) if "requests" in r else ""),
              file=out)
    sizes = [r for r in table if any("mount_ms" in m for m in r["systems"].values())]
    if sizes:
        print("\n| image | system | mount, ms | first fsync, ms | resident, KiB | of that its own |\n"
              "|---|---|---:|---:|---:|---:|", file=out)
    for r in sizes:
        for n, m in r["systems"].items():
            print("| %s | %s | %.1f | %.1f | %d | %d |" % (r["workload"], n, m["mount_ms"], m["fsync_ms"],
                                                           m["rss_kib"], m["own_kib"]), file=out)


def tsv(lines, out):
    keys = ("rounds", "seconds", "ratio", "server_cpu", "busy_cpu", "median_us", "mount_ms", "fsync_ms",
            "rss_kib", "own_kib")
    print("\t".join(("workload", "system") + keys + ("requests",)), file=out)
    for r in rows(lines):
        for n, m in r["systems"].items():
            req = r.get("requests") if n == "ours" else None
            words = ["%.6g" % m[k] if k in m else "" for k in keys]
            words.append(",".join("%s=%d" % kv for kv in req.items()) if req else "")
            print("\t".join([r["workload"], n] + words), file=out)
