#!/usr/bin/env bash
# Says what Snakemake asks of a Slurm job: `running`, `success` or `failed`. For profiles/cluster-generic.
set -euo pipefail
job=$1
# A controller that is busy for a moment must not fail the whole run.
for _ in 1 2 3 4 5; do
    if state=$(scontrol --oneliner show job "$job" 2>/dev/null | grep --only-matching 'JobState=[A-Z_]*'); then
        case ${state#JobState=} in
            COMPLETED) echo success ;;
            PENDING | CONFIGURING | RUNNING | COMPLETING | SUSPENDED | PREEMPTED | REQUEUED | RESIZING | STOPPED) echo running ;;
            *) echo failed ;;
        esac
        exit
    fi
    sleep 2
done
# Unknown after ten seconds: the controller has forgotten it, so whether it succeeded is not known.
echo failed
