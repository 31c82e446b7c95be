#!/bin/bash
# Runs provision.sh for real on three machines made of namespaces: each boots systemd from a Debian tree of its own
# in its own network, process, mount, host-name and cgroup namespaces. What is tested is the provisioning, the units
# and the joining; the kernel is this machine's, and Vagrant itself is not started (README.md says what that leaves).
#
#   vagrant/test.sh [DIST]
#
# DIST as `cargo xtask dist` makes it; without it one is put together from target/release/remuda. The Debian tree is
# made once by debootstrap and kept in REMUDA_DEBIAN (default /var/cache/remuda/bookworm). Needs root.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
tree=${REMUDA_DEBIAN:-/var/cache/remuda/bookworm}
packages=systemd,systemd-sysv,dbus,udev,kmod,iproute2,nftables,iptables,procps,ca-certificates
id=rv$$
work=$(mktemp -d /tmp/remuda-vagrant-XXXXXX)
cgroups=$(awk '$9 == "cgroup2" || $10 == "cgroup2" || / - cgroup2 / {print $5; exit}' /proc/self/mountinfo)
declare -A ips=([h1]=192.168.56.11 [h2]=192.168.56.12 [h3]=192.168.56.13) inits=()
passed=0

main() {
    [ "$(id -u)" = 0 ] || { echo "skipped: needs root"; exit 0; }
    [ -n "$cgroups" ] || { echo "skipped: no cgroup v2 is mounted here"; exit 0; }
    trap clean EXIT
    make_tree
    local dist=${1:-}
    [ -n "$dist" ] || { dist=$work/dist && make_dist "$dist"; }
    make_switch
    for host in h1 h2 h3; do boot "$host" "$dist"; done

    step "h1 is provisioned as the server" provision h1 server
    step "its unit is active and enabled" in_host h1 systemctl is-active --quiet remuda-server
    step "the units of all hosts are clean" in_host h1 systemd-analyze verify --man=no /etc/systemd/system/remuda-server.service
    step "a token is handed over, 0600" hand_over_token
    step "h2 is provisioned with it" provision h2 agent
    step "h3 is provisioned with it" provision h3 agent
    step "the agent's unit is clean" in_host h2 systemd-analyze verify --man=no /etc/systemd/system/remuda-agent.service
    step "the token is gone from the hosts" in_host h2 test ! -e /etc/remuda/token
    step "the fleet has three ready hosts" three_ready
    step "a stack runs on all of them" a_stack
    step "what docs/from-swarm.md says to type does what it says" swarm_words
    step "provisioning again changes nothing and loses no container" again h2
    step "an agent that is killed is back, its container did not notice" killed h2
    step "an agent that hangs is ended by the watchdog and started again" hung h3
    step "the doctor finds nothing wrong" in_host h2 remuda doctor --data-dir /var/lib/remuda/agent --docker none
    step "a host that left is not started again" left h3
    echo "$passed passed"
}

step() {
    local what=$1 log=$work/log
    shift
    # Not the condition of an `if` or `&&`: there `set -e` would be off inside.
    set +e
    ( set -e; "$@" ) >"$log" 2>&1
    local code=$?
    set -e
    if [ $code != 0 ]; then
        echo "FAILED: $what"
        cat "$log"
        for host in "${!inits[@]}"; do
            echo "--- $host"; in_host "$host" journalctl --no-pager -q -n 30 -u 'remuda-*' || true
        done
        exit 1
    fi
    passed=$((passed + 1))
    echo "ok: $what"
}

make_tree() {
    [ -e "$tree/etc/debian_version" ] && return
    echo "making $tree (once)"
    mkdir -p "$(dirname "$tree")"
    debootstrap --variant=minbase --include="$packages" bookworm "$tree.new" http://deb.debian.org/debian
    mv "$tree.new" "$tree"
}

make_dist() {
    local remuda=$here/../target/release/remuda
    mkdir -p "$1/completions"
    strip -o "$1/remuda" "$remuda"
    "$1/remuda" man --dir "$1/man1" >/dev/null
    "$1/remuda" completion bash >"$1/completions/remuda.bash"
    cp -r "$here/../deploy/systemd" "$1/systemd"
}

make_switch() {
    ip netns add "$id-sw"
    ip -n "$id-sw" link add br0 type bridge
    ip -n "$id-sw" addr add 192.168.56.1/24 dev br0
    ip -n "$id-sw" link set br0 up
}

# A machine: a cable to the switch, a writable view of the tree, and systemd as its first process.
boot() {
    local host=$1 dist=$2 root=$work/$1
    ip netns add "$id-$host"
    ip -n "$id-$host" link add eth0 type veth peer name "$host" netns "$id-sw"
    ip -n "$id-sw" link set "$host" master br0 up
    ip -n "$id-$host" addr add "${ips[$host]}/24" dev eth0
    ip -n "$id-$host" link set lo up
    ip -n "$id-$host" link set eth0 up
    ip -n "$id-$host" route add default via 192.168.56.1
    mkdir -p "$root/root" "$root/data" "$cgroups/$id-$host"
    local init=(unshare --mount --uts --ipc --cgroup --pid --fork --kill-child "$here/test-init.sh" "$host" "$root" "$tree" "$dist")
    ( echo "$BASHPID" >"$cgroups/$id-$host/cgroup.procs"
      exec nsenter --net="/run/netns/$id-$host" "${init[@]}" ) >"$root/console" 2>&1 &
    local unshare=$!
    until inits[$host]=$(pgrep -P "$unshare") && in_host "$host" systemctl is-system-running --wait 2>/dev/null |
        grep -qE 'running|degraded'; do
        kill -0 "$unshare" 2>/dev/null || { cat "$root/console"; exit 1; }
        sleep 0.2
    done
    echo "$host runs (systemd $(in_host "$host" systemctl --version | awk 'NR == 1 {print $2}'))"
}

in_host() {
    local host=$1
    shift
    nsenter -t "${inits[$host]}" -m -u -i -n -p -C -r -w -- env -i PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
}

provision() {
    in_host "$1" sh -s "$2" "${ips[h1]}" "${ips[$1]}" /opt/remuda /opt/remuda-shared/token <"$here/provision.sh"
}

# As the Vagrantfile does it.
hand_over_token() {
    local token
    token=$(in_host h1 remuda token create --uses 2 --ttl 1h -o json | sed -n 's/.*"token": "\([^"]*\)".*/\1/p')
    [ -n "$token" ]
    for host in h2 h3; do
        in_host "$host" sh -c 'umask 077; mkdir -p /opt/remuda-shared; cat >/opt/remuda-shared/token' <<<"$token"
        [ "$(in_host "$host" stat -c %a /opt/remuda-shared/token)" = 600 ]
    done
}

ready() { in_host h1 remuda hosts -o json | grep -c '"state": "ready"'; }
running() { in_host h1 remuda ps try -o json | grep -c '"state": "running"'; }

# Tries a command each half second, for at most 30 s: these are waits for other machines, which tell nobody.
eventually() {
    for _ in $(seq 60); do
        if "$@"; then return 0; fi
        sleep 0.5
    done
    return 1
}

three_ready() { eventually eval '[ "$(ready)" = 3 ]'; }

a_stack() {
    in_host h1 sh -c 'cat >/root/try.yaml' <<<'services: {web: {command: [sleep, infinity], deploy: {mode: global}}}'
    in_host h1 remuda up -f /root/try.yaml -s try
    [ "$(running)" = 3 ]
}

# In the order of a first day; those that follow something for ever are cut to what is there.
swarm_words() {
    in_host h1 sh -eux <<'EOF'
cd /root
cat >docker-compose.yml <<'YAML'
version: "3.8"
services:
  hello:
    command: [sh, -c, "echo hello; exec sleep infinity"]
    deploy: {replicas: 3}
    ports: ["80:80"]
  worker:
    command: [sleep, infinity]
YAML
remuda stack config -c docker-compose.yml
remuda up --plan -f docker-compose.yml -s app && exit 1 || test $? = 2
remuda stack deploy -c docker-compose.yml app
remuda up --plan -f docker-compose.yml -s app
remuda stack deploy --detach=true -c docker-compose.yml app
remuda stack ls
remuda stack services app
remuda stack ps app
remuda service ls
remuda service ps app_hello
remuda service inspect app_hello
remuda service logs app_hello | grep hello
remuda service scale app_hello=6
test "$(remuda service ps app_hello -o json | grep -c '"state": "running"')" = 6
remuda logs app-hello-1
remuda exec app/hello -- cat /etc/hostname
remuda inspect app/hello
remuda events
remuda node ls
remuda node inspect h2
remuda node update --label-add zone=a h2
remuda node update --availability drain h2
remuda host drain h2
test "$(remuda node ps h2 -o json)" = "[]"
remuda node update --availability active h2
remuda service rm app_worker
remuda stack deploy --prune -c docker-compose.yml app
remuda swarm join-token worker
remuda swarm join-token -q worker
remuda token create --uses 10 --ttl 1h
remuda volume ls
remuda service update --image x app_hello && exit 1 || test $? = 2
remuda stack rm app
test "$(remuda stack ps app -o json 2>/dev/null || echo gone)" = gone
EOF
    three_ready
    eventually eval '[ "$(running)" = 3 ]'
}

pid_of() { in_host h1 remuda ps try --host "$1" -o json | sed -n 's/.*"pid": \([0-9]*\).*/\1/p'; }
main_pid() { in_host "$1" systemctl show -p MainPID --value remuda-agent; }

is_back() { [ "$(main_pid "$1")" != 0 ] && [ "$(main_pid "$1")" != "$2" ] && in_host "$1" systemctl is-active --quiet remuda-agent; }

again() {
    local before after
    before=$(pid_of "$1")
    provision "$1" agent
    three_ready
    after=$(pid_of "$1")
    [ -n "$before" ] && [ "$before" = "$after" ]
}

killed() {
    local before after agent
    before=$(pid_of "$1") agent=$(main_pid "$1")
    in_host "$1" kill -9 "$agent"
    eventually is_back "$1" "$agent"
    three_ready
    after=$(pid_of "$1")
    [ -n "$before" ] && [ "$before" = "$after" ]
}

# A stopped process feeds no watchdog. Its time is shortened for this test alone: by default it is three minutes.
hung() {
    local before after agent
    in_host "$1" sh -c 'mkdir -p /run/systemd/system/remuda-agent.service.d
        printf "[Service]\nWatchdogSec=15\n" >/run/systemd/system/remuda-agent.service.d/watchdog.conf
        systemctl daemon-reload; systemctl restart remuda-agent'
    three_ready
    before=$(pid_of "$1") agent=$(main_pid "$1")
    in_host "$1" kill -STOP "$agent"
    for _ in $(seq 90); do is_back "$1" "$agent" && break; sleep 1; done
    is_back "$1" "$agent"
    in_host "$1" journalctl -q -u remuda-agent | grep -qi 'watchdog timeout'
    three_ready
    after=$(pid_of "$1")
    [ -n "$before" ] && [ "$before" = "$after" ]
}

# Restart=always starts it; the condition finds neither identity nor token.
left() {
    in_host "$1" remuda leave
    eventually eval "! in_host $1 systemctl is-active --quiet remuda-agent"
    sleep 3
    ! in_host "$1" systemctl is-active --quiet remuda-agent
    [ -z "$(in_host "$1" ip -o link show | grep remuda0 || true)" ]
}

# Ends what this script started and nothing else; --kill-child takes the machines with their first process.
clean() {
    set +e
    for host in "${!inits[@]}"; do kill -9 "${inits[$host]}" 2>/dev/null; done
    wait 2>/dev/null
    for host in h1 h2 h3 sw; do ip netns del "$id-$host" 2>/dev/null; done
    for host in h1 h2 h3; do
        find "$cgroups/$id-$host" -depth -type d -exec rmdir {} + 2>/dev/null
    done
    rm -rf "$work"
}

main "$@"
