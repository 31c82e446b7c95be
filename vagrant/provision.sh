#!/bin/sh
# Installs Remuda on this host and starts it as a systemd unit; running it again changes nothing that is right.
#
#   provision.sh server SERVER_IP OWN_IP DIST
#   provision.sh agent  SERVER_IP OWN_IP DIST TOKEN_FILE
#
# DIST is what `cargo xtask dist` makes: remuda, man1/, completions/, systemd/. TOKEN_FILE is needed until this host
# has joined.
set -eu

role=$1 server_ip=$2 own_ip=$3 dist=$4 token_file=${5:-}

main() {
    programs
    install_files
    configure
    # What would stop it is said before it starts, each with its cure.
    remuda doctor --advertise "$own_ip"
    start
}

# The two programs the agent calls are in every Debian's archive and on few boxes.
programs() {
    if ! command -v nft >/dev/null || ! command -v ip >/dev/null; then
        apt-get update -q
        DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends nftables iproute2
    fi
}

install_files() {
    # A running program's file cannot be written to, but its name can be given to another.
    install -m 0755 "$dist/remuda" /usr/local/bin/remuda.new
    mv /usr/local/bin/remuda.new /usr/local/bin/remuda
    install -d /usr/local/share/man/man1 /etc/bash_completion.d
    install -m 0644 "$dist"/man1/*.1 /usr/local/share/man/man1/
    install -m 0644 "$dist/completions/remuda.bash" /etc/bash_completion.d/remuda
    install -m 0644 "$dist/systemd/remuda-$role.service" /etc/systemd/system/
}

configure() {
    install -d -m 0700 /etc/remuda
    umask 077
    case $role in
    server)
        echo "REMUDA_SERVER_OPTIONS=--advertise $own_ip" >/etc/remuda/server.env
        ;;
    agent)
        printf '%s\n' "REMUDA_SERVER=$server_ip:8443" "REMUDA_AGENT_OPTIONS=--advertise $own_ip" >/etc/remuda/agent.env
        if [ ! -e /var/lib/remuda/agent/agent.node ]; then
            [ -s "$token_file" ] || { echo "no join token in '$token_file': is the server up?" >&2; exit 1; }
            install -m 0600 "$token_file" /etc/remuda/token
        fi
        ;;
    *)
        echo "provision.sh: '$role' is neither server nor agent" >&2
        exit 2
        ;;
    esac
}

# `restart` returns when the unit says that it is ready.
start() {
    systemctl daemon-reload
    systemctl enable "remuda-$role"
    systemctl restart "remuda-$role"
}

main
