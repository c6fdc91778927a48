#!/usr/bin/env bash
# A real Slurm of one node on this machine: `one_node.sh start FOLDER`, `one_node.sh stop FOLDER`.
#
# For Debian, as root; needs no systemd, cgroups or accounting database. All of its files are in FOLDER, but for munge's socket, two
# device files that stand for GPUs, and links in /etc/slurm: the executor takes SLURM_CONF out of its jobs' environment.
set -euo pipefail
folder=$(realpath --canonicalize-missing "$2")

start() {
    if ! command -v slurmctld >/dev/null || ! command -v munged >/dev/null; then
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurm-wlm munge >/dev/null
    fi
    if [ -e /etc/slurm/slurm.conf ]; then
        echo "/etc/slurm/slurm.conf: expected none, found the configuration of another Slurm" >&2
        exit 1
    fi
    mkdir -p "$folder/state" "$folder/spool" /etc/slurm
    if ! munge --no-input >/dev/null 2>&1; then
        install -d -o munge -g munge -m 0755 /run/munge
        setpriv --reuid=munge --regid=munge --clear-groups munged
        touch "$folder/munge_is_ours"
    fi
    for gpu in 0 1; do
        [ -e "/dev/fakegpu$gpu" ] || mknod -m 666 "/dev/fakegpu$gpu" c 1 3
    done
    echo 'Name=gpu File=/dev/fakegpu[0-1]' >"$folder/gres.conf"
    write_configuration
    ln -sf "$folder/slurm.conf" "$folder/gres.conf" /etc/slurm/
    slurmctld
    slurmd
    for _ in $(seq 300); do
        [ "$(sinfo --noheader --format=%t 2>/dev/null)" = idle ] && return
        sleep 0.1
    done
    echo "Slurm did not start: expected an idle node, found $(sinfo --noheader --format=%t); see $folder/*.log" >&2
    exit 1
}

write_configuration() {
    local host memory
    host=$(hostname --short)
    memory=$(awk '/MemTotal/ {print int($2 / 1024) - 512}' /proc/meminfo)
    cat >"$folder/slurm.conf" <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=16817
SlurmdPort=16818
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
MpiDefault=none
ReturnToService=2
MinJobAge=600
KillWait=5
GresTypes=gpu
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$memory Gres=gpu:2 State=UNKNOWN
PartitionName=test Nodes=$host Default=YES MaxTime=300 State=UP
CONF
}

stop() {
    # Another Slurm of this machine is left alone.
    [ "$(readlink /etc/slurm/slurm.conf)" = "$folder/slurm.conf" ] || return 0
    scancel --partition=test 2>/dev/null || true
    end "$folder/slurmd.pid"
    end "$folder/slurmctld.pid"
    [ ! -e "$folder/munge_is_ours" ] || end /run/munge/munged.pid
    rm -f /dev/fakegpu0 /dev/fakegpu1 /etc/slurm/slurm.conf /etc/slurm/gres.conf
}

# Ends the daemon of a pid file and waits until it has gone: it may still write into the folder.
end() {
    local pid
    pid=$(cat "$1" 2>/dev/null) || return 0
    kill "$pid" 2>/dev/null || return 0
    for _ in $(seq 100); do
        [ -n "$(ps --no-headers -o stat= -p "$pid" | grep --invert-match '^Z')" ] || return 0
        sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null || true
}

"$1"
