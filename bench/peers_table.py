"""Values and ratios of the rounds from the raw outputs that bench/peers.sh keeps. argv: the folder."""
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
NEW_TOKENS = {"10M": 64, "100M": 24}  # of a sequence after a prompt of 16, as bench_policy and the peers' programs sample


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
                    # It times prompts and new tokens apart; all others generate, prompts included: the time for as many.
                    new, sequences = NEW_TOKENS[model], int(cells[2])
                    seconds = float(cells[4]) + float(cells[6]) * new / int(cells[1])
                    add(f"decode {cells[2]} tok/s", model, "llama.cpp", sequences * new / seconds)
        elif kind == "trl":
            for row in json_lines(path):
                add("GRPO step s", "0.4M", "trl", row["s_per_step_median"])
    return values, notes


def main():
    values, notes = collect(pathlib.Path(sys.argv[1]))
    print("| what | model | grouper | peer | its value | ratio, median of the rounds | goal |\n| --- | --- | --- | --- | --- | --- | --- |")
    for (what, model, who), ours in sorted(values.items()):
        if who != "grouper":
            continue
        less_is_better = what.endswith(" s")
        number = "{:.3f}" if less_is_better else "{:,.0f}"
        rivals = {}  # peer -> ratios of the rounds: what ran minutes apart is compared
        for (a, b, peer), theirs in values.items():
            if (a, b) == (what, model) and peer != "grouper":
                rivals[peer] = [t / o if less_is_better else o / t for o, t in zip(ours, theirs)]
        best = min(rivals, key=lambda peer: statistics.median(rivals[peer])) if rivals else None
        times, counts = GOALS.get((what, model), (None, None))
        for peer, ratios in sorted(rivals.items()):
            ratio = statistics.median(ratios)
            words = ""
            if counts == peer or (counts == "best" and peer == best):
                words = f"{times}x: {'reached' if ratio >= times else 'missed'}"
            shown = [" ".join(number.format(x) for x in v) for v in (ours, values[(what, model, peer)])]
            print(f"| {what} | {model} | {shown[0]} | {peer} | {shown[1]} | {ratio:.2f} ({' '.join(f'{r:.2f}' for r in ratios)}) | {words} |")
    for (model, key), numbers in sorted(notes.items()):
        print(f"{model} {key}: {statistics.median(numbers):.4g}")


main()
