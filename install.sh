#!/usr/bin/env bash
# Puts paas on a Debian 12 or Ubuntu 24.04 machine; `install.sh --help` says what it can do.
set -euo pipefail
shopt -s inherit_errexit
umask 022

SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PREFIX=${PAAS_PREFIX:-/opt/paas}
ROOT=${PAAS_ROOT:-/var/lib/paas}
# With other directories than the usual ones, nothing outside of them is touched (packages excepted).
PRIVATE=
if [[ $PREFIX != /opt/paas || $ROOT != /var/lib/paas ]]; then PRIVATE=1; fi
DEMO=$ROOT-demo
if [[ $PRIVATE ]]; then
    COMMAND=$PREFIX/bin/paas SETTINGS=$PREFIX/settings.env LOGS=$PREFIX/log RUN=$PREFIX/run
else
    COMMAND=/usr/local/bin/paas SETTINGS=/etc/default/paas LOGS=/var/log/paas RUN=/run/paas
fi
LOG=$LOGS/install.log
SERVICE_USER=paas
# A private installation keeps to its directories, so it has no system user either.
AS_SERVICE=()
if [[ ! $PRIVATE ]]; then
    AS_SERVICE=(setpriv --reuid "$SERVICE_USER" --regid "$SERVICE_USER" --init-groups
        --inh-caps +net_bind_service --ambient-caps +net_bind_service)
fi
PYTHON=/usr/bin/python3
TREE=(paas hooks plugins demo systemd install.sh requirements.lock)
SERVE=("$PREFIX/venv/bin/python" -P -m paas serve)
ENGINE_WAIT=30  # seconds until a Docker Engine that was just started has to answer
SERVE_WAIT=60   # seconds until `paas serve` has to say that it is ready
UNITS=(paas-router.service paas.service)
CHANGED=        # whether this run replaced the program

# shellcheck source=demo/demo.sh
. "$SOURCE/demo/demo.sh"

usage() {
    cat <<END
Usage: install.sh [COMMAND]

  install              install paas, or upgrade it in place (the default); running deploys finish
  demo                 install, start, and deploy a small app over ssh in all three ways
  stop                 stop what this script started
  uninstall [--purge]  remove paas; apps, keys and settings stay unless --purge is given
  --help               this text

Needs root. Program: $PREFIX, data: $ROOT, settings: $SETTINGS, logs: $LOGS.
PAAS_PREFIX and PAAS_ROOT name other directories for program and data; nothing outside of them is
touched then. PAAS_DOMAIN, PAAS_SSH_LISTEN, PAAS_HTTP_LISTEN and PAAS_HTTPS_LISTEN are remembered.
END
}

step() { printf -- '-----> %s\n' "$*"; }
detail() { printf -- '       %s\n' "$*"; }
warn() { printf ' !     %s\n' "$*" >&2; }
die() {
    warn "$@"
    exit 1
}

# Run quietly; on failure show the end of the output and $1, which says what to do.
quietly() {
    local advice=$1 start
    shift
    mkdir -p "$LOGS"
    touch "$LOG"
    start=$(wc -l <"$LOG")
    if ! "$@" >>"$LOG" 2>&1 </dev/null; then
        tail -n +$((start + 1)) "$LOG" | tail -n 15 | sed 's/^/       /' >&2
        die "$advice"
    fi
}

has_systemd() { [[ ! $PRIVATE && -d /run/systemd/system ]]; }
engine_answers() { docker version >/dev/null 2>&1; }

# The settings of this installation, for what is started from here.
load_settings() {
    set -a
    PAAS_ROOT=$ROOT
    # shellcheck disable=SC1090  # written by write_settings
    if [[ -r $SETTINGS ]]; then . "$SETTINGS"; fi
    HOME=$ROOT
    set +a
}

# ---- what the machine must have -------------------------------------------------------------------

install_packages() {
    local missing=()
    command -v git >/dev/null || missing+=(git)
    command -v haproxy >/dev/null || [[ -x /usr/sbin/haproxy ]] || missing+=(haproxy)
    command -v ssh >/dev/null || missing+=(openssh-client)
    [[ -x /usr/sbin/sshd ]] || missing+=(openssh-server)
    command -v setpriv >/dev/null || missing+=(util-linux)
    "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
    # BuildKit and dockerd both call iptables; an engine elsewhere (DOCKER_HOST) needs only the client.
    command -v docker >/dev/null || missing+=(docker.io)
    if ! engine_answers && ! command -v dockerd >/dev/null; then missing+=(docker.io iptables); fi
    if [[ ${1:-} == demo ]] && ! command -v busybox >/dev/null; then missing+=(busybox-static); fi
    if ((${#missing[@]})); then
        step "Installing packages: $(printf '%s\n' "${missing[@]}" | sort -u | paste -sd ' ')"
        command -v apt-get >/dev/null || die "No apt-get here: install these packages yourself, then try again"
        apt_install "${missing[@]}"
    fi
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        die "$PYTHON is older than 3.11; Debian 12 and Ubuntu 24.04 have what paas needs"
}

apt_install() {
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q -y)
    local advice="The packages could not be installed: is the distribution's mirror reachable? (all output: $LOG)"
    quietly "$advice" "${apt[@]}" update
    quietly "$advice" "${apt[@]}" install --no-install-recommends "$@"
}

start_engine() {
    if engine_answers; then return; fi
    step "Starting the Docker Engine"
    if has_systemd; then
        quietly "systemd could not start docker.service" systemctl enable --now docker.service
    else
        [[ -z ${DOCKER_HOST:-} ]] || die "No Docker Engine answers at DOCKER_HOST=$DOCKER_HOST"
        start_background dockerd "$LOGS/dockerd.log" dockerd
    fi
    local tries
    for ((tries = ENGINE_WAIT * 5; tries > 0; tries--)); do
        if engine_answers; then return; fi
        sleep 0.2
    done
    if [[ -f $LOGS/dockerd.log ]]; then tail -n 5 "$LOGS/dockerd.log" >&2; fi
    die "The Docker Engine does not answer after $ENGINE_WAIT seconds"
}

check_access() (
    load_settings
    "${AS_SERVICE[@]}" docker version >/dev/null 2>&1 ||
        die "The user $SERVICE_USER can't use the Docker Engine: its socket has to belong to the group docker"
)

# ---- the program ----------------------------------------------------------------------------------

# Prints `changed` when the installed program differs from the one here; replaces it then.
copy_tree() {
    if [[ $SOURCE == "$PREFIX" ]]; then return; fi
    local present=() name digest
    for name in "${TREE[@]}"; do
        if [[ -e $SOURCE/$name ]]; then present+=("$name"); fi
    done
    digest=$(tar -C "$SOURCE" --sort=name --mtime=@0 --owner=0 --group=0 --exclude=__pycache__ \
        -cf - "${present[@]}" | sha256sum)
    if [[ -f $PREFIX/.digest && $digest == "$(<"$PREFIX/.digest")" ]]; then return; fi
    rm -rf "$PREFIX/.new"
    mkdir -p "$PREFIX/.new"
    tar -C "$SOURCE" --exclude=__pycache__ -cf - "${present[@]}" |
        tar -C "$PREFIX/.new" --no-same-owner -xf -
    chmod -R go=rX "$PREFIX/.new"
    # Whole directories change places, so that nobody imports from a half-copied one.
    for name in "${present[@]}"; do
        rm -rf "$PREFIX/.old"
        if [[ -e $PREFIX/$name ]]; then mv -T "$PREFIX/$name" "$PREFIX/.old"; fi
        mv -T "$PREFIX/.new/$name" "$PREFIX/$name"
    done
    rm -rf "$PREFIX/.new" "$PREFIX/.old"
    printf '%s\n' "$digest" >"$PREFIX/.digest"
    echo changed
}

make_venv() {
    local venv=$PREFIX/venv
    if [[ -x $venv/bin/python ]] && cmp -s "$PREFIX/requirements.lock" "$venv/.requirements.lock"; then return; fi
    step "Installing Python packages"
    # Not `--clear`: commands that are running import from here.
    quietly "python3 -m venv failed (all output: $LOG)" "$PYTHON" -m venv "$venv"
    quietly "pip could not install the packages: is the Python package index reachable? (all output: $LOG)" \
        "$venv/bin/pip" install --disable-pip-version-check -r "$PREFIX/requirements.lock"
    printf '%s\n' "$PREFIX" >"$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/paas.pth"
    cp "$PREFIX/requirements.lock" "$venv/.requirements.lock"
}

# The service may not write to the program's directory, so its bytecode is made here.
compile_tree() { "$PREFIX/venv/bin/python" -m compileall -q "$PREFIX/paas" "$PREFIX/plugins" >/dev/null || true; }

make_user() {
    if [[ $PRIVATE ]]; then
        install -d -m 0700 "$ROOT"
        return
    fi
    if ! getent passwd "$SERVICE_USER" >/dev/null; then
        step "Creating the user $SERVICE_USER"
        # A password of `*` can't be typed, but unlike a locked account sshd lets its keys in.
        useradd --system --user-group --home-dir "$ROOT" --shell /bin/sh --password '*' "$SERVICE_USER"
    fi
    if getent group docker >/dev/null; then usermod --append --groups docker "$SERVICE_USER"; fi
    install -d -m 0700 -o "$SERVICE_USER" -g "$SERVICE_USER" "$ROOT"
}

# Whether an address of the form [host]:port can be listened on.
is_free() {
    "$PYTHON" -c '
import socket, sys
host, _, port = sys.argv[1].rpartition(":")
socket.create_server((host.strip("[]"), int(port)), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
' "$1" 2>/dev/null
}

# write_listener NAME DEFAULT OTHER: what the caller's environment says, else DEFAULT, else OTHER.
write_listener() {
    local name=$1 listen=${!1:-$2}
    if [[ $listen != off ]] && ! is_free "$listen"; then
        [[ -z ${!1:-} ]] || die "$name=$listen is taken by another program; free it or choose another"
        is_free "$3" || die "Both $2 and $3 are taken by other programs; choose one with $name=…"
        listen=$3
        warn "$2 is taken by another program: using $listen ($name in $SETTINGS)"
    fi
    printf '%s=%s\n' "$name" "$listen"
}

write_settings() {
    if [[ -f $SETTINGS ]]; then return; fi
    local domain=${PAAS_DOMAIN:-}
    if [[ -z $domain && ! $PRIVATE ]]; then domain=$(hostname -f 2>/dev/null || true); fi
    # A bare host name resolves nowhere, but app.localhost does, on the machine itself.
    if [[ $domain != *.* ]]; then domain=${PAAS_DOMAIN:-localhost}; fi
    local web=(:80 :8080) tls=(:443 :8443) ssh=(127.0.0.1:2222 127.0.0.1:2223)
    local text
    text=$(
        echo "# Settings of paas, read when it starts."
        echo "PAAS_DOMAIN=$domain"
        write_listener PAAS_SSH_LISTEN "${ssh[@]}"
        write_listener PAAS_HTTP_LISTEN "${web[@]}"
        write_listener PAAS_HTTPS_LISTEN "${tls[@]}"
        if [[ -n ${DOCKER_HOST:-} ]]; then echo "DOCKER_HOST=$DOCKER_HOST"; fi
    )
    printf '%s\n' "$text" >"$SETTINGS"
}

link_command() {
    mkdir -p "$(dirname "$COMMAND")"
    if [[ ! $PRIVATE ]]; then
        ln -sfn "$PREFIX/paas/gateway/stub.py" "$COMMAND"
        return
    fi
    printf '#!/bin/sh\nPAAS_ROOT=%q exec %q "$@"\n' "$ROOT" "$PREFIX/paas/gateway/stub.py" >"$COMMAND"
    chmod 0755 "$COMMAND"
}

do_install() {
    install_packages "${1:-}"
    mkdir -p "$PREFIX" "$LOGS" "$RUN"
    CHANGED=$(copy_tree)
    make_venv
    compile_tree
    if has_systemd; then free_the_web_port; fi
    make_user
    write_settings
    link_command
    if has_systemd; then
        start_engine
        check_access
        start_units
    fi
    if [[ $CHANGED ]]; then step "paas is installed in $PREFIX"; else step "paas in $PREFIX is up to date"; fi
}

# ---- running it: systemd, or else in the background -----------------------------------------------

# Debian starts its haproxy.service on installation; one that nobody configured only gets in the way.
free_the_web_port() {
    local expected
    systemctl is-enabled --quiet haproxy.service 2>/dev/null || return 0
    expected=$(dpkg-query -W -f '${Conffiles}\n' haproxy 2>/dev/null | awk '$1 == "/etc/haproxy/haproxy.cfg" { print $2 }')
    if [[ -n $expected && $(md5sum </etc/haproxy/haproxy.cfg) == "$expected "* ]]; then
        step "Disabling haproxy.service, which has nothing configured: paas runs its own as paas-router.service"
        quietly "haproxy.service could not be disabled" systemctl disable --now haproxy.service
    fi
}

# install_unit UNIT: prints what has to be done with it, `start`, or `restart` because it changed.
install_unit() {
    if cmp -s "$PREFIX/systemd/$1" "/etc/systemd/system/$1"; then
        echo start
    else
        install -m 0644 "$PREFIX/systemd/$1" "/etc/systemd/system/$1"
        echo restart
    fi
}

start_units() {
    local router paas
    router=$(install_unit paas-router.service)
    paas=$(install_unit paas.service)
    if [[ $CHANGED ]]; then paas=restart; fi
    systemctl daemon-reload
    quietly "The units could not be enabled" systemctl enable "${UNITS[@]}"
    # At first there is no configuration yet, so this one becomes active only when paas has started.
    systemctl "$router" --no-block paas-router.service
    quietly "paas.service did not start: journalctl -u paas tells why" systemctl "$paas" paas.service
}

# start_background NAME LOG COMMAND…: runs on after this script and its terminal are gone.
start_background() {
    local name=$1 log=$2
    shift 2
    mkdir -p "$RUN" "$(dirname "$log")"
    setsid nohup "$@" >"$log" 2>&1 </dev/null &
    echo $! >"$RUN/$name.pid"
}

# Prints the process id of NAME, started earlier by this script, if it still runs COMMAND-WORDS.
running() {
    local pid
    pid=$(cat "$RUN/$1.pid" 2>/dev/null) || return 1
    [[ -n $pid && $(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline") == *"$2"* ]] || return 1
    echo "$pid"
}

stop_background() {
    local pid tries
    pid=$(running "$1" "$2") || return 0
    step "Stopping $1"
    kill "$pid"
    for ((tries = 150; tries > 0; tries--)); do
        if ! kill -0 "$pid" 2>/dev/null; then break; fi
        sleep 0.2
    done
    rm -f "$RUN/$1.pid"
}

start_serve() {
    if running serve "paas serve" >/dev/null; then
        if [[ ! $CHANGED ]]; then return; fi
        stop_background serve "paas serve"
    fi
    step "Starting paas (no systemd here, so in the background)"
    (load_settings && cd / && start_background serve "$LOGS/serve.log" "${AS_SERVICE[@]}" "${SERVE[@]}")
    local tries
    for ((tries = SERVE_WAIT * 10; tries > 0; tries--)); do
        if grep -q '^ready' "$LOGS/serve.log"; then return; fi
        running serve "paas serve" >/dev/null || break
        sleep 0.1
    done
    tail -n 10 "$LOGS/serve.log" >&2
    die "paas did not get ready: the log is $LOGS/serve.log"
}

do_stop() {
    if has_systemd; then
        step "Stopping ${UNITS[*]}"
        systemctl stop "${UNITS[@]}" 2>/dev/null || true
        return
    fi
    stop_background serve "paas serve"
    stop_background dockerd dockerd
}

do_demo() {
    do_install demo
    if ! has_systemd; then
        start_engine
        check_access
        start_serve
    fi
    deploy_demo
    if ! has_systemd; then
        detail "Nothing starts paas at boot here (no systemd); sudo $PREFIX/install.sh stop ends it"
    fi
}

# ---- taking it away -------------------------------------------------------------------------------

# remove_labelled KIND LABEL [LS-OPTION]
remove_labelled() {
    local ids force=(--force)
    mapfile -t ids < <(docker "$1" ls --quiet ${3:+"$3"} --filter "label=$2=$ROOT" | sort -u)
    if ((${#ids[@]} == 0)); then return; fi
    step "Removing from Docker: ${#ids[@]} × $1"
    if [[ $1 == network ]]; then
        force=()
        detach_all "${ids[@]}"
    fi
    quietly "Docker could not remove them" docker "$1" rm "${force[@]}" "${ids[@]}"
}

# Containers of others may be on a network of network:create; it could not be removed with them.
detach_all() {
    local network container
    for network in "$@"; do
        for container in $(docker network inspect --format '{{range $id, $_ := .Containers}}{{$id}} {{end}}' "$network"); do
            docker network disconnect --force "$network" "$container" || true
        done
    done
}

# Images that came from elsewhere bear no label, only a tag that paas gave them.
remove_tags() {
    local id tags
    id=$(printf %s "$ROOT" | sha256sum | cut -c -8)
    mapfile -t tags < <(docker image ls --format '{{.Repository}}:{{.Tag}}' --filter "reference=paas-$id/*")
    if ((${#tags[@]})); then quietly "Docker could not remove them" docker image rm "${tags[@]}"; fi
}

purge() {
    if engine_answers; then
        remove_labelled container paas.root --all
        remove_tags
        remove_labelled image paas.root
        remove_labelled image paas.demo
        remove_labelled network paas.root
        remove_labelled volume paas.root
    else
        warn "No Docker Engine answers: containers and images of paas stay in it"
    fi
    step "Removing $ROOT"
    rm -rf "$ROOT" "$DEMO" "$SETTINGS"
    if [[ ! $PRIVATE ]] && getent passwd "$SERVICE_USER" >/dev/null; then
        # KillMode=process left the commands that were running; their data is gone now.
        pkill -KILL -u "$SERVICE_USER" || true
        quietly "The user $SERVICE_USER could not be removed" userdel "$SERVICE_USER"
    fi
}

do_uninstall() {
    local unit
    if has_systemd; then
        step "Removing ${UNITS[*]}"
        systemctl disable --now "${UNITS[@]}" >/dev/null 2>&1 || true
        for unit in "${UNITS[@]}"; do rm -f "/etc/systemd/system/$unit"; done
        systemctl daemon-reload
    else
        stop_background serve "paas serve"
    fi
    if [[ $1 == purge ]]; then
        purge
    elif engine_answers; then
        stop_containers
    fi
    stop_background dockerd dockerd
    step "Removing $PREFIX"
    rm -rf "$PREFIX" "$LOGS" "$RUN"
    if [[ ! $PRIVATE ]]; then rm -f "$COMMAND"; fi
    if [[ $1 != purge ]]; then detail "Data stays in $ROOT; install.sh uninstall --purge removes it too"; fi
}

stop_containers() {
    local ids
    mapfile -t ids < <(docker container ls --quiet --filter "label=paas.root=$ROOT")
    if ((${#ids[@]})); then quietly "Docker could not stop the apps" docker container stop "${ids[@]}"; fi
}

main() {
    case "${1:-install} ${2:-}" in
        '--help ' | '-h ' | 'help ') usage && return ;;
        'install ' | 'demo ' | 'stop ' | 'uninstall ' | 'uninstall --purge') ;;
        *) usage >&2 && exit 2 ;;
    esac
    [[ $EUID == 0 ]] || die "install.sh needs root: sudo ./install.sh ${*:-}"
    case "${1:-install} ${2:-}" in
        'install ') do_install ;;
        'demo ') do_demo ;;
        'stop ') do_stop ;;
        'uninstall ') do_uninstall keep ;;
        'uninstall --purge') do_uninstall purge ;;
    esac
}

# One statement, read whole: this file may be replaced or removed while it runs.
main "$@"; exit
