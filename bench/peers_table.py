"""Medians and ratios from the raw outputs that bench/peers.sh keeps. argv: the folder."""
import json
import pathlib
import re
import statistics
import sys

GOALS = {  # (what, model): (times, the peer that counts; "best" of all)
    ("train tok/s", "0.4M"): (3, "torch"), ("train tok/s", "10M"): (1.3, "torch"), ("train tok/s", "100M"): (1.3, "torch"),
    ("decode 64 tok/s", "0.4M"): (7, "transformers"), ("decode 64 tok/s", "10M"): (2, "best"),
    ("decode 64 tok/s", "100M"): (1.3, "best"), ("GRPO step s", "0.4M"): (5, "trl"),
}


def json_lines(path):
    for line in path.read_text().splitlines():
        if line.startswith('{"'):  # TRL prints a Python dict of its own as well
            yield json.loads(line)


def collect(folder):
    values, notes = {}, {}  # (what, model, who) -> numbers of the rounds

    def add(what, model, who, number):
        values.setdefault((what, model, who), []).append(number)

    for path in sorted(folder.iterdir()):
        kind = path.name.split(".")[0]
        if path.name.endswith(".err"):
            continue
        if kind == "ours":
            for row in json_lines(path):
                for what, key in (("train tok/s", "train_tok_s"), ("decode 64 tok/s", "decode64_tok_s"), ("decode 1 tok/s", "decode1_tok_s")):
                    add(what, row["model"], "grouper", row[key])
                for key in ("peak_gflops", "gemm_share_of_peak", "train_share_of_peak"):
                    notes.setdefault((row["model"], key), []).append(row[key])
        elif kind == "ours_step":
            for row in json_lines(path):
                add("GRPO step s", "0.4M", "grouper", row["grpo_step_s"])
                for key in ("generate_s", "score_s", "train_s", "other_s", "mean_new_tokens"):
                    notes.setdefault(("0.4M", key), []).append(row[key])
        elif kind == "torch":
            for row in json_lines(path):
                for model in ("0.4M", "10M", "100M"):
                    add("train tok/s", model, "torch", row[model]["train_tok_s"])
                    add("decode 64 tok/s", model, "transformers", row[model]["decode64_tok_s"])
        elif kind == "ct2":
            for row in json_lines(path):
                add("decode 64 tok/s", row["model"], "ctranslate2", row["decode64_tok_s"])
        elif kind == "llama":
            model = None
            for line in path.read_text().splitlines():
                start = re.match(r"(10M|100M) ", line)
                model = start.group(1) if start else model
                cells = [c.strip() for c in line.split("|")[1:-1]]
                if model and len(cells) == 10 and cells[2] in ("1", "64"):
                    add(f"decode {cells[2]} tok/s", model, "llama.cpp", float(cells[7]))
        elif kind == "trl":
            for row in json_lines(path):
                add("GRPO step s", "0.4M", "trl", row["s_per_step_median"])
    return values, notes


def main():
    values, notes = collect(pathlib.Path(sys.argv[1]))
    medians = {key: statistics.median(numbers) for key, numbers in values.items()}
    rounds = max((len(v) for v in values.values()), default=0)
    print(f"medians of {rounds} round(s)\n| what | model | grouper | peer | its value | ratio | goal |\n| --- | --- | --- | --- | --- | --- | --- |")
    for (what, model, who), ours in sorted(medians.items()):
        if who != "grouper":
            continue
        rivals = {w: m for (a, b, w), m in medians.items() if (a, b) == (what, model) and w != "grouper"}
        less_is_better = what.endswith(" s") and not what.endswith("/s")
        best = (min if less_is_better else max)(rivals, key=rivals.get) if rivals else None
        goal = GOALS.get((what, model))
        for peer, theirs in sorted(rivals.items()):
            ratio = theirs / ours if less_is_better else ours / theirs
            words = ""
            if goal and goal[1] in (peer, "best" if peer == best else None):
                words = f"{goal[0]}x: {'reached' if ratio >= goal[0] else 'missed'}"
            number = (lambda x: f"{x:.3f}") if less_is_better else (lambda x: f"{x:,.0f}")
            print(f"| {what} | {model} | {number(ours)} | {peer} | {number(theirs)} | {ratio:.2f} | {words} |")
    for (model, key), numbers in sorted(notes.items()):
        print(f"{model} {key}: {statistics.median(numbers):.4g}")


main()
