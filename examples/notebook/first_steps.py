"""First steps in Python, cell by cell: run a small suite, look at its numbers, compare, score.

Run it as a script (`python examples/notebook/first_steps.py`), or open it as a notebook: editors
and jupytext read the `# %%` marks. Two cores need about half a minute.
"""

# %% A suite is a file or a dict; a list is an axis
import ldmbench

SUITE = {
    "suite": "first_steps",
    "data": {"shapes": {"kind": "shapes", "resolution": 16, "train": 64, "reference": 32}},
    "models": {
        "pixel": {
            "autoencoder": {"f": 1},
            "denoiser": {"channels": 8, "context_channels": 8, "multipliers": [1, 1], "batch": 4},
            "budget": {"steps": 10},
        }
    },
    "sample": {"steps": [2, 4], "count": 16, "micro_batch": 8},
    "metrics": ["fid", "precision"],
    "probes": ["device_days"],
    "mlflow": {"enabled": False},
}
run = ldmbench.run(SUITE)

# %% A row a cell: value, interval, number of samples, signature
table = run.table()
print(table[["cell", "fid", "fid_low", "fid_high", "fid_n"]].to_string(index=False))

# %% Records hold everything, warnings too
for record in run.records:
    for score in record.scores:
        print(record.cell.id, score.name, score.value, score.signature)
    print(*record.warnings, sep="\n")

# %% Figures are Altair charts, which a notebook shows
print(sorted(run.figures))

# %% Two cells compared: paired by common resampling, corrected for being several
found = ldmbench.compare(f"{run.id}:*/ddim-2/*", f"{run.id}:*/ddim-4/*")
print(found.verdict)
for row in found.rows:
    print(row.name, row.difference, row.low, row.high, row.verdict)

# %% More steps: only what is missing is computed
longer = ldmbench.run(SUITE, set={"sample.steps": [2, 4, 8]})
print([cell.id for cell in longer.cells])

# %% Errors come all at once, each with its place
try:
    ldmbench.run(SUITE, set={"sample.stepz": 3, "metrics": ["fidd"]})
except ldmbench.InputError as error:
    print(error)
