"""A Slurm of the tests' own: `sbatch` starts the tasks of an array on this machine, `srun` becomes its command."""

import os
import sys
from pathlib import Path

SBATCH = """
import os, pathlib, re, subprocess, sys
text = pathlib.Path(sys.argv[1]).read_text()
(pathlib.Path(__file__).parent / "submitted.sh").write_text(text)
if "--partition=closed" in text:
    sys.exit("sbatch: error: invalid partition specified: closed")
array = re.search(r"--array=0-([0-9]+)", text)
for task in range(int(array[1]) + 1 if array else 1):
    named = {"SLURM_ARRAY_JOB_ID": "77", "SLURM_ARRAY_TASK_ID": str(task)} if array else {}
    env = {**os.environ, **named, "SLURM_JOB_ID": "77", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NTASKS": "1"}
    subprocess.Popen(["bash", sys.argv[1]], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print("Submitted batch job 77")
"""
SRUN = """
import os, sys
words = sys.argv[1:]
while words[0].startswith("--"):
    words = words[1:] if words[0] == "--unbuffered" else words[2:]
os.execvp(words[0], words)
"""
SACCT = "print('JobID|State')"


def write_slurm(folder: Path) -> None:
    """Write the programs into a folder."""
    folder.mkdir()
    for name, text in (("sbatch", SBATCH), ("srun", SRUN), ("sacct", SACCT), ("scancel", "")):
        (folder / name).write_text(f"#!{sys.executable}\n{text}")
        os.chmod(folder / name, 0o755)
