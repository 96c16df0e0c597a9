# shellcheck shell=bash
# The deploys of `install.sh demo`, which reads this file in: $PREFIX, $ROOT, $DEMO, $COMMAND, $SETTINGS, $LOG, $PYTHON
# and the helpers step, die, quietly and load_settings are its own.

demo_listener() (
    load_settings
    [[ $PAAS_SSH_LISTEN != off ]] || die "The demo talks to paas's own SSH server, but PAAS_SSH_LISTEN=off in $SETTINGS"
    local host=${PAAS_SSH_LISTEN%:*}
    case $host in '' | 0.0.0.0 | '[::]') host=127.0.0.1 ;; esac
    echo "${host//[\[\]]/} ${PAAS_SSH_LISTEN##*:}"
)

# A key and an ssh configuration of its own: nobody's ~/.ssh is touched.
make_demo_access() {
    local host port
    read -r host port < <(demo_listener)
    install -d -m 0700 "$DEMO"
    [[ -f $DEMO/id_ed25519 ]] || ssh-keygen -q -t ed25519 -N '' -C demo -f "$DEMO/id_ed25519"
    rm -f "$DEMO/known_hosts"
    cat >"$DEMO/ssh_config" <<END
Host paas-demo $host
    HostName $host
    Port $port
    User paas
    IdentityFile $DEMO/id_ed25519
    IdentitiesOnly yes
    IdentityAgent none
    UserKnownHostsFile $DEMO/known_hosts
    StrictHostKeyChecking accept-new
    LogLevel ERROR
END
    if ! demo_ssh version >/dev/null 2>&1; then
        step "Registering the demo's key"
        "$COMMAND" ssh-keys:remove demo >/dev/null 2>&1 || true
        quietly "The key could not be registered" "$COMMAND" ssh-keys:add demo "$DEMO/id_ed25519.pub"
    fi
    DEMO_REMOTE=ssh://paas@$host:$port/demo-push
}

demo_ssh() { ssh -F "$DEMO/ssh_config" paas-demo "$@"; }

# say_and_ssh WORDS…: what a person would type, and what comes back.
say_and_ssh() {
    printf '\n$ ssh paas-demo %s\n' "$*"
    demo_ssh "$@"
}

# demo_context DIRECTORY VERSION: the bundled app with the machine's own busybox.
demo_context() {
    mkdir -p "$1"
    cp "$PREFIX/demo/index.cgi" "$(command -v busybox)" "$1/"
    sed "s/^ARG VERSION=.*/ARG VERSION='$2'/" "$PREFIX/demo/Dockerfile" >"$1/Dockerfile"
}

# demo_image NAME VERSION
demo_image() {
    local context
    context=$(mktemp -d)
    demo_context "$context" "$2"
    quietly "The image $1 could not be built (all output: $LOG)" \
        docker build --label "paas.demo=$ROOT" --tag "$1" "$context"
    rm -rf "$context"
}

demo_app() { demo_ssh apps:exists "$1" >/dev/null 2>&1 || say_and_ssh apps:create "$1"; }

deploy_image() {
    demo_image paas-demo:1 '1 (an image)'
    demo_app demo-image
    say_and_ssh git:from-image demo-image paas-demo:1
}

deploy_tar() {
    local tar=$DEMO/image.tar
    # The engine forgets the image once it is saved, so that it really comes over ssh.
    if [[ ! -f $tar || $PREFIX/.digest -nt $tar ]]; then
        demo_image paas-demo-tar:1 '1 (a tar)'
        docker image save --output "$tar.new" paas-demo-tar:1
        quietly "The image could not be removed" docker image rm paas-demo-tar:1
        mv "$tar.new" "$tar"
    fi
    demo_app demo-tar
    printf '\n$ ssh paas-demo git:load-image demo-tar paas-demo-tar:1 < image.tar   # docker image save made it\n'
    demo_ssh git:load-image demo-tar paas-demo-tar:1 <"$tar"
}

deploy_push() {
    local git=(git -C "$DEMO/repo" -c user.name=demo -c user.email=demo@localhost)
    demo_context "$DEMO/repo" '1 (git push)'
    [[ -d $DEMO/repo/.git ]] || git init -q -b main "$DEMO/repo"
    "${git[@]}" add --all
    "${git[@]}" diff --cached --quiet || "${git[@]}" commit -q -m 'The demo app'
    printf '\n$ git push %s main\n' "$DEMO_REMOTE"
    GIT_SSH_COMMAND="ssh -F '$DEMO/ssh_config'" "${git[@]}" push "$DEMO_REMOTE" main
}

# Ask the router on this machine for URL, whether or not its host name resolves.
fetch() {
    "$PYTHON" - "$1" <<'END'
import sys, time, urllib.error, urllib.parse, urllib.request
url = urllib.parse.urlsplit(sys.argv[1])
request = urllib.request.Request(f"http://127.0.0.1:{url.port or 80}/", headers={"Host": url.netloc})
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
deadline = time.monotonic() + 15
while True:
    try:
        sys.exit(print(opener.open(request, timeout=5).read().decode().rstrip()))
    except OSError as error:
        if time.monotonic() > deadline:
            sys.exit(f" !     {sys.argv[1]}: {error}")
    time.sleep(0.2)
END
}

show_demo_app() {
    local url
    url=$(demo_ssh urls "$1" | head -n 1)
    [[ $url ]] || die "paas knows no URL for $1"
    printf '\n$ curl %s\n' "$url"
    fetch "$url"
}

# Needs paas to be running.
deploy_demo() {
    make_demo_access
    deploy_image
    deploy_tar
    deploy_push
    local app
    for app in demo-image demo-tar demo-push; do show_demo_app "$app"; done
    if [[ ${SUDO_UID:-} ]]; then chown -R "$SUDO_UID:${SUDO_GID:-$SUDO_UID}" "$DEMO"; fi
    cat <<END

=====> paas is running. Try next:

    alias demo='ssh -F $DEMO/ssh_config paas-demo'
    demo apps:list
    demo config:set demo-image GREETING=Welcome
    demo logs demo-push
    demo ps:scale demo-push web=2
    demo releases demo-image
    demo help

       Your own key: sudo ${COMMAND#/usr/local/bin/} ssh-keys:add me < ~/.ssh/id_ed25519.pub
END
}
