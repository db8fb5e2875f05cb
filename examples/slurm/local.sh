# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# A Slurm of one node for trying things out, to be sourced: start_slurm FOLDER, stop_slurm. It needs
# root and a mounted /sys/fs/cgroup, which it does not use, but neither systemd nor an entry in
# /etc/hosts, and leaves a Slurm of the machine alone: ports, keys and sockets are its own. Its three
# daemons are children of the calling shell.

slurm_pids=()
slurm_folder=
slurm_sockets=

free_ports() { # two of them
  local port found=0
  for port in $(shuf -i 20000-29999 -n 200); do
    (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null || {
      echo "$port"
      found=$((found + 1))
      [ $found -lt 2 ] || return 0
    }
  done
}

# wait_for SECONDS COMMAND...: until the command succeeds.
wait_for() {
  local until=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $until ] || return 1
    sleep 0.2
  done
}

start_slurm() {
  slurm_folder=$(realpath "$1")
  local host ports
  host=$(hostname)
  mapfile -t ports < <(free_ports)
  slurm_sockets=$(mktemp -d /tmp/slurm.XXXXXX) # the name of a socket has at most 107 bytes
  chmod 755 "$slurm_sockets"
  mkdir -p "$slurm_folder"/{state,spool}
  chmod 755 "$slurm_folder"
  cat >"$slurm_folder/slurm.conf" <<CONF
ClusterName=local
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=${ports[0]}
SlurmdPort=${ports[1]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$slurm_sockets/munge
StateSaveLocation=$slurm_folder/state
SlurmdSpoolDir=$slurm_folder/spool
SlurmctldPidFile=$slurm_folder/slurmctld.pid
SlurmdPidFile=$slurm_folder/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=0,sched_interval=2
MailProg=/bin/true
ReturnToService=2
JobRequeue=1
NodeName=localhost NodeHostname=$host NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=debug Nodes=localhost Default=YES MaxTime=INFINITE State=UP
CONF
  export SLURM_CONF=$slurm_folder/slurm.conf
  head -c 1024 /dev/urandom >"$slurm_folder/munge.key"
  chmod 400 "$slurm_folder/munge.key"
  # --force: the folder is the user's, not /run/munge.
  munged --foreground --force --num-threads=1 --key-file="$slurm_folder/munge.key" \
    --socket="$slurm_sockets/munge" --pid-file="$slurm_folder/munge.pid" \
    --seed-file="$slurm_folder/munge.seed" --log-file="$slurm_folder/munged.log" \
    >"$slurm_folder/munged.out" 2>&1 &
  slurm_pids=($!)
  wait_for 20 test -S "$slurm_sockets/munge" || return 1
  slurmctld -D -c >"$slurm_folder/slurmctld.log" 2>&1 &
  slurm_pids=($! "${slurm_pids[@]}")
  wait_for 20 scontrol ping || return 1
  slurmd -D -N localhost >"$slurm_folder/slurmd.log" 2>&1 &
  slurm_pids=($! "${slurm_pids[@]}")
  wait_for 30 sh -c 'sinfo -h -o %t | grep -qx idle' || return 1
}

# Ends the jobs, then the daemons in the opposite order; safe to call at any time.
stop_slurm() {
  local pid
  [ -n "$slurm_sockets" ] || return 0
  if [ ${#slurm_pids[@]} -eq 3 ] && kill -0 "${slurm_pids[1]}" 2>/dev/null; then
    scancel --user root 2>/dev/null || true
    wait_for 10 sh -c '[ -z "$(squeue -h)" ]' || true
  fi
  for pid in "${slurm_pids[@]}"; do
    kill -TERM "$pid" 2>/dev/null || continue
    wait_for 10 sh -c "! kill -0 $pid" || kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  slurm_pids=()
  rm -rf "$slurm_sockets"
  slurm_sockets=
}
