#!/bin/bash
# Builds the agent's image with a docker engine of its own and runs it: the engine in a network namespace made here,
# the server in another; nothing of this machine's network is touched. Then the same by a one-node swarm and
# agent-global.yml. No registry is needed: the base is imported from a Debian tree as debian:bookworm-slim.
#
#   deploy/test.sh [DIST]
#
# DIST as `cargo xtask dist` makes it; without it target/release/remuda is used. The Debian tree is made once by
# debootstrap and kept in REMUDA_DEBIAN (default /var/cache/remuda/bookworm). Needs root, dockerd and docker.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
tree=${REMUDA_DEBIAN:-/var/cache/remuda/bookworm}
packages=systemd,systemd-sysv,dbus,udev,kmod,iproute2,nftables,iptables,procps,ca-certificates
id=rd$$
# Short: a unix socket's path has 108 bytes, and dockerd puts its own below.
work=$(mktemp -d /tmp/rd-XXXXXX)
bpf=/sys/fs/bpf/remuda-$id
# Where the agent keeps its data, on this machine and in its container.
data=$work/agent
dockerd='' server=''
passed=0
# As the files say; a machine that is not whole itself (CAP_SYS_RESOURCE is missing in some virtual ones) cannot give
# all, so the test then gives what --privileged means one by one, but for that.
power=(--privileged)
if ! grep -q '^CapBnd:.*1ffffffffff$' /proc/self/status; then
    echo "this machine has not every capability: the agent gets all but CAP_SYS_RESOURCE instead of --privileged"
    power=(--cap-add ALL --cap-drop SYS_RESOURCE --security-opt seccomp=unconfined --security-opt apparmor=unconfined
        --security-opt systempaths=unconfined)
fi

main() {
    [ "$(id -u)" = 0 ] || { echo "skipped: needs root"; exit 0; }
    command -v dockerd >/dev/null && command -v docker >/dev/null || { echo "skipped: dockerd or docker is missing"; exit 0; }
    trap clean EXIT
    make_tree
    make_dist "${1:-}"
    make_network
    start_engine
    start_server

    step "the base is imported, no registry asked" import_base
    step "the agent's image is built" docker_ build --network none -t remuda/agent -f "$here/docker/Dockerfile" "$work/dist"
    step "the agent in a container joins and is ready" run_agent
    step "the doctor in the container finds nothing wrong" doctor
    step "a container of the fleet runs in the node's engine" a_stack
    step "the agent's container is killed and another adopts what runs" adopted
    step "the host leaves and leaves nothing behind" leave
    step "the node becomes a swarm of one" docker_ swarm init --advertise-addr 192.168.57.12 --data-path-port 7789
    step "agent-global.yml runs the agent on every node of it" swarm_agent
    echo "$passed passed"
}

step() {
    local what=$1 log=$work/log
    shift
    set +e
    ( set -e; "$@" ) >"$log" 2>&1
    local code=$?
    set -e
    if [ $code != 0 ]; then
        echo "FAILED: $what"
        tail -n 60 "$log"
        docker_ logs --tail 20 remuda-agent 2>&1 || true
        remuda_ hosts -o wide || true
        remuda_ ps -o wide || true
        exit 1
    fi
    passed=$((passed + 1))
    echo "ok: $what"
}

docker_() { docker -H "unix://$work/docker.sock" "$@"; }
remuda_() {
    nsenter --net="/run/netns/$id-s" env REMUDA_API=https://192.168.57.11:8443 REMUDA_CA="$work/server/ca.pem" \
        REMUDA_KEY_FILE="$work/server/admin.key" "$work/dist/remuda" "$@"
}

make_tree() {
    [ -e "$tree/etc/debian_version" ] && return
    echo "making $tree (once)"
    mkdir -p "$(dirname "$tree")"
    debootstrap --variant=minbase --include="$packages" bookworm "$tree.new" http://deb.debian.org/debian
    mv "$tree.new" "$tree"
}

make_dist() {
    mkdir -p "$work/dist"
    if [ -n "$1" ]; then cp "$1/remuda" "$work/dist/"; else strip -o "$work/dist/remuda" "$here/../target/release/remuda"; fi
}

# Two namespaces and a cable: s for the server, n for the node with the engine.
make_network() {
    ip netns add "$id-s"
    ip netns add "$id-n"
    ip -n "$id-s" link add eth0 type veth peer name eth0 netns "$id-n"
    for end in s:11 n:12; do
        ip -n "$id-${end%:*}" addr add "192.168.57.${end#*:}/24" dev eth0
        ip -n "$id-${end%:*}" link set lo up
        ip -n "$id-${end%:*}" link set eth0 up
        ip -n "$id-${end%:*}" route add default via 192.168.57.1
    done
}

# live-restore and a swarm exclude each other, so the engine is without it here.
start_engine() {
    mkdir -p "$work/e"
    nsenter --net="/run/netns/$id-n" dockerd --data-root "$work/data" --exec-root "$work/e" -H "unix://$work/docker.sock" \
        --pidfile "$work/pid" --bridge=none --iptables=false >"$work/dockerd.log" 2>&1 &
    dockerd=$!
    until docker_ version >/dev/null 2>&1; do
        kill -0 "$dockerd" || { cat "$work/dockerd.log"; exit 1; }
        sleep 0.2
    done
}

start_server() {
    nsenter --net="/run/netns/$id-s" "$work/dist/remuda" server --no-agent --advertise 192.168.57.11 \
        --data-dir "$work/server" >"$work/server.log" 2>&1 &
    server=$!
    until remuda_ hosts >/dev/null 2>&1; do
        kill -0 "$server" || { cat "$work/server.log"; exit 1; }
        sleep 0.2
    done
}

import_base() {
    tar -C "$tree" --one-file-system -c . | docker_ import - debian:bookworm-slim
}

# As deploy/README.md says, with places of this test's own.
agent_options=(--name n1 --advertise 192.168.57.12 --data-dir /var/lib/remuda/agent)
docker_agent() {
    docker_ run --name remuda-agent "${power[@]}" --network host --pid host --cgroupns host --uts host \
        -v /sys/fs/bpf:/sys/fs/bpf -v /sys/fs/cgroup:/sys/fs/cgroup -v "$work/docker.sock:/var/run/docker.sock" \
        -v "$data:/var/lib/remuda" -e "REMUDA_BPF_ROOT=$bpf" "$@"
}

token() { remuda_ swarm join-token --quiet worker; }

run_agent() {
    mkdir -p "$data"
    (umask 077; token >"$data/token")
    docker_agent -d remuda/agent agent --server 192.168.57.11:8443 --token-file /var/lib/remuda/token "${agent_options[@]}"
    eventually is_ready
    rm "$data/token"
}

is_ready() { remuda_ hosts -o json | grep -q '"state": "ready"'; }

eventually() {
    for _ in $(seq 60); do
        if "$@"; then return 0; fi
        sleep 0.5
    done
    return 1
}

doctor() { docker_ exec remuda-agent remuda doctor --advertise 192.168.57.12 --verbose; }

a_stack() {
    cat >"$work/try.yaml" <<'EOF'
services:
  web:
    image: debian:bookworm-slim
    command: [sleep, infinity]
EOF
    remuda_ up -f "$work/try.yaml" -s try
    [ "$(docker_ ps --filter name=try-web-1 -q | wc -l)" -ge 1 ]
    remuda_ exec try-web-1 -- cat /etc/debian_version
}

started() { docker_ inspect -f '{{.State.StartedAt}} {{.State.Pid}}' try-web-1; }

adopted() {
    local before
    before=$(started)
    docker_ kill -s KILL remuda-agent
    docker_ rm remuda-agent
    docker_agent -d remuda/agent agent --server 192.168.57.11:8443 --token-file /nothing "${agent_options[@]}"
    eventually docker_ exec remuda-agent remuda doctor --advertise 192.168.57.12
    eventually is_ready
    remuda_ wait try
    [ "$before" = "$(started)" ]
}

leave() {
    docker_ exec remuda-agent remuda leave
    docker_ wait remuda-agent
    docker_ rm remuda-agent
    [ -z "$(docker_ ps -aq)" ]
    ! ip -n "$id-n" -o link show | grep remuda
    [ -z "$(ls "$bpf" 2>/dev/null)" ]
}

# The launcher is any image with a docker client; here one is made of the base and this machine's client.
swarm_agent() {
    mkdir "$work/launcher"
    cp "$(command -v docker)" "$work/launcher/docker"
    printf 'FROM debian:bookworm-slim\nCOPY docker /usr/local/bin/docker\n' >"$work/launcher/Dockerfile"
    docker_ build --network none -t docker:cli "$work/launcher"
    token | docker_ secret create remuda_token -
    # The one place where the socket is not where engines have it.
    sed "s|/var/run/docker.sock:/var/run/docker.sock|$work/docker.sock:/var/run/docker.sock|g
         s|-v /var/run/docker.sock|-v $work/docker.sock|; s|--privileged|${power[*]} -e REMUDA_BPF_ROOT=$bpf|" \
        "$here/agent-global.yml" >"$work/agent-global.yml"
    REMUDA_SERVER=192.168.57.11:8443 REMUDA_DATA=$work/agent2 REMUDA_AGENT_OPTIONS="--name n2 --advertise 192.168.57.12" \
        docker_ stack deploy -c "$work/agent-global.yml" remuda
    eventually n2_is_ready
}

n2_is_ready() { remuda_ hosts -o json | tr -d '\n ' | grep -q '"name":"n2"[^}]*"state":"ready"'; }

# Ends what this script started and nothing else.
clean() {
    set +e
    if [ -n "$dockerd" ]; then
        docker_ stack rm remuda >/dev/null 2>&1
        docker_ exec remuda-agent remuda leave >/dev/null 2>&1
        docker_ swarm leave --force >/dev/null 2>&1
        docker_ ps -aq 2>/dev/null | xargs -r docker -H "unix://$work/docker.sock" rm -f >/dev/null 2>&1
        kill "$dockerd" && wait "$dockerd"
    fi
    [ -n "$server" ] && kill "$server" && wait "$server"
    awk -v w="$work/" 'index($5, w) == 1 {print $5}' /proc/self/mountinfo | sort -r | xargs -r -n 1 umount -l
    for end in s n; do ip netns del "$id-$end" 2>/dev/null; done
    rm -rf "$bpf" "$work"
} 2>/dev/null

main "$@"
