//! The command line: every command with its help and examples, in the order of `remuda --help`.

use clap::{Parser, Subcommand};

use crate::command::{
    agent, completion, config, dns, doctor, down, events, exec, hold, host, inspect, key, leave, logs, man, node, ps,
    registry, scale, server, service, services, stack, start, swarm, token, up, version, volume, wait,
};
use crate::connection::ConnectionArgs;

/// Runs Compose stacks on many hosts: one network, names, virtual addresses and published ports on all of them.
#[derive(Parser)]
#[command(
    name = "remuda",
    version,
    propagate_version = false,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    max_term_width = 110,
    after_help = "Examples:
  remuda server                        start a fleet here; prints the line for further hosts
  remuda up -f compose.yaml -s shop    run a stack and follow until it is up
  remuda ps shop                       its containers, where they are and how they are
  remuda scale shop/web=6              more of one service
  remuda COMMAND --help                every command has examples"
)]
pub struct Cli {
    #[command(flatten)]
    pub connection: ConnectionArgs,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Run the fleet's server (and an agent) on this host
    #[command(after_help = server::EXAMPLES)]
    Server(server::Args),
    /// Make this host part of a fleet
    #[command(after_help = agent::EXAMPLES)]
    Agent(agent::Args),
    /// Take this host out of its fleet and remove every trace
    #[command(after_help = leave::EXAMPLES)]
    Leave(leave::Args),
    /// Secrets that let new hosts join
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Examples:
  remuda token create
  remuda token create --uses 10 --ttl 1h"
    )]
    Token(token::Command),
    /// Run a stack from a Compose file, or bring it to what the file says now
    #[command(after_help = "Examples:
  remuda up -f compose.yaml -s shop            run it, follow until it is up
  remuda up -s shop                            compose.yaml of this directory
  remuda up -f compose.yaml -s shop --plan     say what would change (exit code 2: something would)
  remuda up -s shop --plan -o json | jq '.[] | select(.action != \"unchanged\")'
  remuda up -f compose.yaml -s shop --prune    also remove services the file no longer names
  remuda up -f - -s shop -d < compose.yaml     from standard input, return at once")]
    Up(up::Args),
    /// Remove a stack
    #[command(after_help = "Examples:
  remuda down shop                 follow until nothing is left
  remuda down shop -d              return at once
  remuda down shop --timeout 5m")]
    Down(down::Args),
    /// List containers
    #[command(after_help = "Examples:
  remuda ps                        every container of the fleet
  remuda ps shop                   of one stack
  remuda ps shop/web --host h2     of one service, on one host
  remuda ps shop -o wide           with more columns, and what every failed container wrote last
  remuda ps shop -o json | jq -r '.[] | select(.state == \"failed\") | .reason'")]
    Ps(ps::Args),
    /// List services
    #[command(after_help = "Examples:
  remuda services
  remuda services shop -o wide
  remuda services -o json | jq -r '.[] | .stack + \"/\" + .name + \" \" + .vip'")]
    Services(services::ServicesArgs),
    /// List stacks
    #[command(after_help = "Examples:
  remuda stacks
  remuda stacks -o json")]
    Stacks(services::StacksArgs),
    /// List hosts
    #[command(after_help = "Examples:
  remuda hosts
  remuda hosts -o wide             with what is wrong, labels, address blocks and versions
  remuda hosts -o json | jq -r '.[] | select(.state != \"ready\") | .name'")]
    Hosts(host::ListArgs),
    /// Look at one host, take it out of service for a while, label it or remove it
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Examples:
  remuda host ls
  remuda host inspect h1
  remuda host drain h1             empty it; `remuda host activate h1` afterwards
  remuda host label h1 zone=a disk-
  remuda host rm h1 --dead"
    )]
    Host(host::Command),
    /// Change how many containers services have
    #[command(after_help = "Examples:
  remuda scale shop/web=6
  remuda scale shop/web=6 shop/api=3     all of it or, if one is refused, nothing
  remuda scale shop/web=0 -d             return at once")]
    Scale(scale::Args),
    /// Stop services or whole stacks; what is declared of them stays
    #[command(after_help = "Examples:
  remuda stop shop                 every service of a stack
  remuda stop shop/web shop/api
  remuda start shop                as many containers as before

Their containers are drained and stopped, their names answer nothing. `remuda up` of the same file does not
start what was stopped by hand.")]
    Stop(start::Args),
    /// Start what was stopped, or declared with start_on_create: false
    #[command(after_help = "Examples:
  remuda start shop
  remuda start shop/web -d         return at once")]
    Start(start::Args),
    /// Named volumes and the hosts that have their data
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Examples:
  remuda volume ls
  remuda volume rm shop_data"
    )]
    Volume(volume::Command),
    /// Credentials for pulling images
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Examples:
  remuda registry login registry.example:5000 -u ann --password-stdin < password.txt
  remuda registry ls
  remuda registry logout registry.example:5000"
    )]
    Registry(registry::Command),
    /// Who may use the API, and who may get power over hosts by it
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Examples:
  remuda key create ci --no-host-access > ci.key
  remuda key ls
  remuda key rm ci"
    )]
    Key(key::Command),
    /// Show what containers said
    #[command(after_help = "Examples:
  remuda logs shop-web-1
  remuda logs -f --tail 20 shop/web      every container of a service, each line with its name")]
    Logs(logs::Args),
    /// Run a command in a container
    #[command(after_help = "Examples:
  remuda exec shop-web-1 -- ip addr
  remuda exec -it shop/web -- sh         a shell in the first running container of a service
  echo hello | remuda exec -i shop-web-1 -- cat

It ends with the command's own exit code.")]
    Exec(exec::Args),
    /// Show everything known of a container, service, stack or host
    #[command(after_help = "Examples:
  remuda inspect shop-web-1
  remuda inspect shop/web | jq .vip
  remuda inspect h1")]
    Inspect(inspect::Args),
    /// Show what happened
    #[command(after_help = "Examples:
  remuda events
  remuda events --follow -o json | jq .message
  remuda events -o json | jq -r '.[] | select(.kind == \"brake\") | .message'
  remuda events --since 120

Kinds:
  host-joined, -joining, -ready, -suspect, -control-lost, -dead, -removed    its state
  host-changed, host-moved, host-problem      labels or availability, its address, a step that keeps failing
  brake, control-lost                         alarms: nothing moves; an agent is silent for too long
  container-started, -restarted, -failed, -complete, -stopped    what its host says
  container-healthy, -unhealthy, -recreated   what its checks say, and what followed
  container-moved, -lost                      its host is lost, or lost it
  stack-applied, stack-removed
  service-removed, -scaled, -started, -stopped
  host-access                                 what a stack declared that gives power over a host, and with which key
  volume-removed, registry-login, registry-logout, key-created, key-revoked
  token-created, certificate-renewed, refused, server-started")]
    Events(events::Args),
    /// Wait until a stack or service is as it should be
    #[command(after_help = "Examples:
  remuda wait shop                             until all of it is healthy
  remuda wait shop/web --for running --timeout 2m
  remuda wait shop --for gone")]
    Wait(wait::Args),
    /// Look a name up as a container does
    #[command(after_help = "Examples:
  remuda dns web --from shop-api-1             from the same stack: the short name
  remuda dns web.shop --from blog-front-1
  remuda dns vip.web.shop --from shop/api
  remuda dns web --type AAAA --from shop-api-1 -o json")]
    Dns(dns::Args),
    /// Show what a Compose file means, without a server
    #[command(after_help = "Examples:
  remuda config -f compose.yaml
  remuda config -f compose.yaml -s shop -o json")]
    Config(config::Args),
    /// Say what would stop or slow this host, each with its cure
    #[command(after_help = doctor::EXAMPLES)]
    Doctor(doctor::Args),
    /// Print a script that completes commands and flags
    #[command(after_help = "Examples:
  remuda completion bash > /etc/bash_completion.d/remuda
  remuda completion zsh > \"${fpath[1]}/_remuda\"
  remuda completion fish > ~/.config/fish/completions/remuda.fish")]
    Completion(completion::Args),
    /// Write the manual pages
    #[command(after_help = "Examples:
  remuda man | man -l -                        the first page
  remuda man --dir /usr/local/share/man/man1   all of them, one for each command")]
    Man(man::Args),
    /// Show the versions of this command and of the server
    #[command(after_help = "Examples:
  remuda version
  remuda version -o json | jq .server.product")]
    Version(version::Args),
    /// Stacks, in the words of Docker Swarm
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Examples:
  remuda stack deploy -c docker-compose.yml shop
  remuda stack ps shop
  remuda stack rm shop"
    )]
    Stack(stack::Command),
    /// Services, in the words of Docker Swarm
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Examples:
  remuda service ls
  remuda service scale shop_web=6
  remuda service logs -f shop_web"
    )]
    Service(service::Command),
    /// Hosts, in the words of Docker Swarm
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Examples:
  remuda node ls
  remuda node ps h1
  remuda node update --availability drain h1"
    )]
    Node(node::Command),
    /// Further hosts, in the words of Docker Swarm
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Examples:
  remuda swarm join-token worker"
    )]
    Swarm(swarm::Command),
    /// Keep one container alive (started by the agent)
    #[command(hide = true)]
    Hold(hold::Args),
}
