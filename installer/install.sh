#!/bin/sh
# Installs, upgrades, rolls back and removes asbuilt, as root, without a network: sh install.sh --help
#
# A release is a folder that is complete or is made again; which one runs is one link, which is switched atomically. What
# is begun is noted in $OPT/pending before anything stops. So a failure brings back the release that ran (on_exit), and
# after a kill -9 the next run finishes what was begun.
# shellcheck disable=SC2317 # on_exit and what it calls are reached by the trap
set -eu
umask 022

OPT=/opt/asbuilt
ETC=/etc/asbuilt
VAR=/var/lib/asbuilt
SYSTEMD=/etc/systemd/system
LINK=/usr/local/bin/asbuilt
PLANT=$ETC/plant.toml
PENDING=$OPT/pending
SETTLE=${ASBUILT_INSTALL_SETTLE:-5} # seconds for which what was started has to stay up

usage() {
    cat <<TEXT
sh install.sh              install this release, or upgrade to it: the store is copied, then the service starts again
sh install.sh --rollback   go back to the release before; add --with-store to go back to the copy of the store too
sh install.sh --remove     remove the program, its units and its user; add --purge to remove $ETC and $VAR too
TEXT
}

say() { printf '%s\n' "$*"; }
die() {
    printf 'install.sh: %s\n' "$*" >&2
    exit 2
}

# Tests kill the installer at every one of these, to see what is left.
steps=0
step() {
    steps=$((steps + 1))
    [ "${ASBUILT_INSTALL_STEPS:-}" = show ] && say "step $steps: $*"
    if [ "${ASBUILT_INSTALL_KILL_AT:-}" = "$steps" ]; then kill -9 $$; fi
    if [ "${ASBUILT_INSTALL_FAIL_AT:-}" = "$steps" ]; then die "told to fail at step $steps"; fi
}

main() {
    action=install with_store=no purge=no
    for argument; do
        case $argument in
        --rollback | --remove) action=${argument#--} ;;
        --with-store) with_store=yes ;;
        --purge) purge=yes ;;
        --help | -h)
            usage
            exit 0
            ;;
        *)
            usage >&2
            die "$argument is none of these"
            ;;
        esac
    done
    [ "$(id -u)" = 0 ] || die "must run as root"
    here=$(cd -- "$(dirname -- "$0")" && pwd)
    mkdir -p /opt
    exec 9</opt
    flock -n 9 || die "another install.sh runs, or a part of one that was killed; wait until it has ended"
    trap on_exit EXIT
    trap 'exit 130' HUP INT PIPE TERM
    case $action in
    install) do_install ;;
    rollback) do_rollback ;;
    remove) do_remove ;;
    esac
}

# --- what is there -------------------------------------------------------------------------------------------------

current() { readlink "$OPT/current" || true; }   # the folder of the release that runs, such as releases/0.1.0-py3.11-…
previous() { readlink "$OPT/previous" || true; } # and of the one before
systemd_runs() { [ -d /run/systemd/system ]; }
users_of() { sed -n 's/^User=\(asbuilt[-a-z]*\)$/\1/p' "$1"/*.service | sort -u; }

# Our own units that run now (or wait to be started again), on one line.
running() {
    systemd_runs || return 0
    systemctl list-units --plain --no-legend --type=service,socket,timer --state=active,activating,reloading 'asbuilt*' |
        sed 's/ .*//' | tr '\n' ' '
}

# Those of them that have to be started again; an instance is started by its socket.
to_start() {
    for unit in $(running); do
        case $unit in *@*.service) ;; *) printf '%s ' "$unit" ;; esac
    done
}

is_whole() { [ -e "$OPT/$1/complete" ] && "$OPT/$1/bin/asbuilt" --version >/dev/null 2>&1; }

as_asbuilt() { runuser -u asbuilt -- "$@" 9<&-; }

# What only Python can say about the store, asked of the store.py of a release: store RELEASE COMMAND…
store() {
    release=$OPT/$1
    shift
    (cd / && as_asbuilt "$release/bin/python" -I "$release/store.py" "$PLANT" "$@")
}

# --- the checks before anything is touched -------------------------------------------------------------------------

check_archive() {
    [ -f "$here/SHA256SUMS" ] || die "$here is no unpacked archive: run install.sh where the archive was unpacked"
    (cd "$here" && sha256sum --check --quiet --strict SHA256SUMS) ||
        die "the archive is damaged (see above): copy and unpack it again"
}

check_python() {
    python=${PYTHON:-python3}
    command -v "$python" >/dev/null || die "needs Python 3.11, 3.12 or 3.13 (Debian: the package python3)"
    said=$("$python" -I -c 'import platform, sys
print("%d.%d" % sys.version_info[:2], platform.machine(), platform.libc_ver()[0] or "another libc", 8 * (sys.maxsize > 2**32))')
    case $said in
    3.1[123]\ x86_64\ glibc\ 8 | 3.1[123]\ aarch64\ glibc\ 8) ;;
    *) die "the archive has wheels for Python 3.11, 3.12 and 3.13 on x86_64 and aarch64 with glibc; $python is: $said" ;;
    esac
    "$python" -I -c 'import venv' 2>/dev/null || die "$python has no module venv (Debian: the package libpython3-stdlib)"
    version=${said%% *}
}

# --- the parts ------------------------------------------------------------------------------------------------------

make_users() {
    for user in $(users_of "$here/units"); do
        id "$user" >/dev/null 2>&1 && continue
        # noted first: a user that is noted and not there is no harm when we are removed
        printf '%s\n' "$user" >>"$OPT/users"
        step "user $user is noted"
        useradd --system --user-group --no-create-home --home-dir "$VAR" --shell /usr/sbin/nologin "$user"
        step "user $user is made"
    done
}

make_folders() {
    for folder in "$ETC" "$VAR"; do
        mkdir -p "$folder"
        # new, or left by a removal: then all of it is root's
        [ "$(stat -c %U "$folder")" = asbuilt ] || chown -R asbuilt:asbuilt "$folder"
    done
    chmod 0750 "$ETC"
    chmod 0700 "$VAR"
    step "folders are made"
    if [ ! -e "$PLANT" ]; then
        install -o asbuilt -g asbuilt -m 0640 "$here/plant.toml" "$PLANT.new"
        mv "$PLANT.new" "$PLANT"
        step "plant.toml is written"
    fi
}

# A folder of its own for what is in the archive and the Python it was made with; its path stays, as a venv's has to.
make_release() {
    digest=$(sha256sum "$here/SHA256SUMS" | cut -c 1-8)
    new=releases/$(cat "$here/VERSION")-py$version-$digest
    is_whole "$new" && return 0
    say "making $OPT/$new …"
    rm -rf "${OPT:?}/$new"
    mkdir -p "$OPT/releases"
    making=$new
    "$python" -I -m venv --without-pip "$OPT/$new"
    step "the venv is made"
    pip=$(echo "$here"/wheelhouse/pip-*.whl)
    (cd / && "$OPT/$new/bin/python" -I "$pip/pip" --isolated --disable-pip-version-check --quiet install --no-cache-dir \
        --no-index --find-links "$here/wheelhouse" --only-binary :all: --require-hashes --requirement "$here/requirements.txt")
    step "the wheels are installed"
    cp -R "$here/units" "$here/install.sh" "$here/store.py" "$here/VERSION" "$here/LICENSE" "$here/LICENCES.txt" "$OPT/$new/"
    "$OPT/$new/bin/asbuilt" --version >/dev/null
    sync
    step "the release is on the disk"
    : >"$OPT/$new/complete"
    making=
    step "the release is complete"
}

# --- from one release to another ------------------------------------------------------------------------------------

# Note what is begun, and which units ran when it was begun: whoever finishes it starts them again.
begin() { # install or rollback, and to which release
    if [ -e "$PENDING" ]; then
        were_running=$(sed -n 1p "$PENDING")
    else
        were_running=$(to_start)
    fi
    printf '%s\n%s\n%s\n' "$were_running" "$1" "$2" >"$PENDING.new"
    sync
    mv "$PENDING.new" "$PENDING"
    begun=yes
    step "it is noted what runs"
    units=$(running)
    # shellcheck disable=SC2086 # one word a unit
    [ -z "$units" ] || systemctl stop $units
    step "nothing runs"
}

begun_action() { [ ! -e "$PENDING" ] || sed -n 2p "$PENDING"; }
begun_target() { sed -n 3p "$PENDING"; }

# Start what ran before; fails unless it stays up.
start() {
    there=
    for unit in $were_running; do # as far as this release has it
        if systemctl cat "$unit" >/dev/null 2>&1; then there="$there $unit"; fi
    done
    [ -n "$there" ] || return 0
    say "starting$there"
    # shellcheck disable=SC2086
    systemctl start $there 9<&- || return 1
    waited=0
    while [ "$waited" -lt "$SETTLE" ]; do
        sleep 1
        waited=$((waited + 1))
        for unit in $there; do
            systemctl is-active --quiet "$unit" || return 1
        done
    done
}

point() { # a link to a release, in one move
    ln -sfn "$2" "$OPT/$1.new"
    step "the new link $1 is made"
    mv -T "$OPT/$1.new" "$OPT/$1"
    sync
    step "the link $1 is switched"
}

# Make a release the one that runs: the link, the units, the command.
switch_to() {
    point current "$1"
    put_units "$OPT/$1/units"
    ln -sfn "$OPT/current/bin/asbuilt" "$LINK"
    step "the command is linked"
}

put_units() {
    for unit in "$1"/*; do
        cp "$unit" "$SYSTEMD/.${unit##*/}.new"
        mv "$SYSTEMD/.${unit##*/}.new" "$SYSTEMD/${unit##*/}"
    done
    step "the units are in place"
    for unit in "$SYSTEMD"/asbuilt*.*; do
        if [ -f "$unit" ] && [ ! -e "$1/${unit##*/}" ]; then drop_unit "${unit##*/}"; fi
    done
    if systemd_runs; then systemctl daemon-reload; fi
}

drop_unit() { # and its instances
    instances=$1
    case $1 in *@.*) instances="${1%@*}@*.${1##*.}" ;; esac
    if systemd_runs; then systemctl disable --quiet --now "$1" 2>/dev/null || true; fi
    # shellcheck disable=SC2086 # a pattern
    rm -f "$SYSTEMD/$1" "$SYSTEMD"/*.wants/$instances
}

finish() {
    rm -f "$PENDING"
    begun=
    sync
    step "it is done"
    # only this release and the one before it stay, and the copies of the store from before them
    for release in "$OPT"/releases/*; do
        case releases/${release##*/} in "$(current)" | "$(previous)") ;; *) rm -rf "$release" ;; esac
    done
    for copy in "$VAR"/before-*; do
        case ${copy##*/} in "$(copy_before "$(current)")" | "$(copy_before "$(previous)")") ;; *) rm -f "$copy" ;; esac
    done
    step "what is older is gone"
}

copy_before() { printf 'before-%s.db' "${1##*/}"; } # the store as it was before a release

# A failure: what ran before runs again.
on_exit() {
    status=$?
    trap - EXIT
    trap '' HUP INT PIPE TERM # nothing interrupts going back
    [ "$status" != 0 ] || exit 0
    set +e
    if [ -n "${making:-}" ]; then rm -rf "${OPT:?}/$making"; fi
    if [ -n "${begun:-}" ]; then
        if [ -n "$old" ]; then go_back; else undo_first; fi
        rm -f "$PENDING"
    fi
    exit "$status"
}

go_back() {
    say "going back to ${old##*/}" >&2
    # shellcheck disable=SC2046
    [ -z "$(running)" ] || systemctl stop $(running)
    copy=$VAR/$(copy_before "$(current)")
    if [ -n "${aside:-}" ] && [ -e "$aside" ]; then
        store "$old" restore "$aside" "$aside.not-used" >&2
    elif [ "$(current)" != "$old" ] && [ -e "$copy" ] && ! store "$old" knows; then
        store "$(current)" restore "$copy" "$VAR/set-aside-$(date +%Y%m%dT%H%M%S).db" >&2
    fi
    switch_to "$old"
    start || say "${old##*/} does not stay up either: see journalctl -u asbuilt" >&2
}

undo_first() {
    for unit in "$SYSTEMD"/asbuilt*.*; do [ ! -f "$unit" ] || drop_unit "${unit##*/}"; done
    rm -f "$LINK" "$OPT/current" "$OPT/current.new"
}

# --- what is asked for ----------------------------------------------------------------------------------------------

do_install() {
    check_archive
    check_python
    mkdir -p "$OPT"
    make_users
    make_folders
    make_release
    old=$(current)
    if [ "$old" = "$new" ] && [ ! -e "$PENDING" ]; then
        say "${new##*/} is installed already"
        switch_to "$new" # its units may be damaged
        return
    fi
    store "$new" check # plant.toml has to be readable before anything stops
    if [ "$old" = "$new" ]; then old=$(previous); fi # a killed run came as far as that
    begin install "$new"
    if [ "$(current)" != "$new" ] && [ -n "$old" ]; then
        store "$new" copy "$VAR/$(copy_before "$new")"
        step "the store is copied"
        point previous "$old"
    fi
    switch_to "$new"
    start || die "${new##*/} does not stay up: see journalctl -u asbuilt"
    step "it runs"
    finish
    say "installed ${new##*/}"
    [ -n "$were_running" ] || next_commands
}

next_commands() {
    cat <<TEXT
It does not run. Next:
  editor $PLANT                       # put your PLCs in
  cd $ETC && runuser -u asbuilt -- asbuilt poll       # read each of them once
  systemctl enable --now asbuilt.service
TEXT
}

do_rollback() {
    old=$(current)
    target=$(previous)
    case $(begun_action) in
    rollback) target=$(begun_target) ;;
    install) [ "$old" = "$(begun_target)" ] || target=$old ;; # it was not switched yet: that is taken back
    esac
    if [ -z "$target" ] || ! is_whole "$target"; then die "there is no release before ${old##*/} to go back to"; fi
    if [ "$with_store" = no ] && ! store "$target" knows; then
        die "the store is of a newer schema than ${target##*/} knows. --rollback --with-store puts back the copy from
before ${old##*/} was installed, and sets aside the store as it is now: what was decided since is in that file alone"
    fi
    copy=$VAR/$(copy_before "$old")
    if [ "$with_store" = yes ] && [ "$old" != "$target" ] && [ ! -e "$copy" ]; then die "there is no $copy to put back"; fi
    begin rollback "$target"
    if [ "$with_store" = yes ] && [ "$old" != "$target" ]; then
        aside=$VAR/set-aside-$(date +%Y%m%dT%H%M%S).db
        store "$old" restore "$copy" "$aside"
        step "the store is put back"
    fi
    switch_to "$target"
    start || die "${target##*/} does not stay up: see journalctl -u asbuilt"
    if [ "$old" != "$target" ]; then point previous "$old"; fi
    finish
    say "back at ${target##*/}"
}

do_remove() {
    units=$(running)
    # shellcheck disable=SC2086
    [ -z "$units" ] || systemctl stop $units
    for unit in "$SYSTEMD"/asbuilt*.*; do
        [ ! -f "$unit" ] || drop_unit "${unit##*/}"
    done
    if systemd_runs; then systemctl daemon-reload; fi
    rm -rf /run/asbuilt
    step "the units are gone"
    case $(readlink "$LINK" || true) in "$OPT"/*) rm -f "$LINK" ;; esac
    step "the command is gone"
    if [ "$purge" = yes ]; then rm -rf "$ETC" "$VAR"; fi
    step "what was to be purged is gone"
    if [ -e "$OPT/users" ]; then
        # whoever gets the user's number next must not get its key
        for folder in "$ETC" "$VAR"; do [ ! -e "$folder" ] || chown -R root:root "$folder"; done
        step "what is kept is root's"
        sort -u "$OPT/users" | while read -r user; do
            ! id "$user" >/dev/null 2>&1 || userdel "$user" || die "end what still runs as $user, and try again"
        done
    fi
    step "the users are gone"
    rm -rf "$OPT"
    say "removed asbuilt"
    [ ! -e "$VAR" ] || say "kept: $ETC and $VAR (--purge removes them)"
}

main "$@"; exit # read as a whole: this file may be replaced while it runs
