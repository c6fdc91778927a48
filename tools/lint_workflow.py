"""Run `snakemake --lint` and fail on what it finds, but for one thing that is meant to be so.

Snakemake asks each rule for a conda environment or a container. This workflow runs in the one environment that `make environment`
builds from constraints.txt, in which the library that the rules call is installed too.
"""

import subprocess
import sys

MEANT = "    * Specify a conda environment or container for each rule.:"


def main() -> int:
    command = [sys.executable, "-m", "snakemake", "--lint"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    printed = done.stdout + done.stderr
    lints = [line for line in printed.splitlines() if line.startswith("    * ")]
    if any(line != MEANT for line in lints) or (done.returncode and not lints):
        print(printed, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
