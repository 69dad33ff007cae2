#!/bin/sh
# readme.sh: runs the two commands of the README's section Build in fresh systems that have nothing but make and git: as
# root, as a user with sudo, and as one without. Prints TAP. It needs root and a mirror of Debian; see `make readme-test`.
#
# usage: tests/packages/readme.sh SUITE [demo|test]      only one of them; MAKEFLAGS=-j2 lets make run two jobs at once
set -u
suite=$1
goals=${2:-demo test}
. tests/packages/chroot
needs debootstrap git unshare
root=$chroots/$suite-readme
logs=$chroots/$suite-readme-logs
rm -rf "$logs"
mkdir -p "$logs"
trap 'rm -rf "$work"; forget "$root"' EXIT
trap 'exit 1' INT TERM
command_of() { sed -n "s/^    \(make deps $1\) .*/\1/p" README.md; }

# system PACKAGE...: a system with these packages and the sources as of the last commit. As in images for containers,
# apt knows no package until it is told to update.
system() {
    fresh "$suite" "$root" && install_in "$root" "$@" || return 1
    rm -rf "$root"/var/lib/apt/lists/*
    git bundle create -q "$root/srv/autodiff.bundle" HEAD && inside "$root" useradd -m someone
}

# as WHO LOG COMMAND: in a clone in the home folder of root or the user.
as() {
    who=$1 log=$logs/$2
    shift 2
    inside "$root" env -u DEBIAN_FRONTEND ${MAKEFLAGS:+MAKEFLAGS="$MAKEFLAGS"} su "$who" -c "cd && 
        { [ -d autodiff ] || git clone -q /srv/autodiff.bundle autodiff; } && cd autodiff && $*" >"$log" 2>&1 </dev/null
}
demo_runs() {
    as "$1" "$1-demo.log" "$(command_of demo)" || { tail -n 30 "$log" && return 1; }
    [ "$(grep -c '^== build/demos/' "$log")" -ge 8 ]
}
test_runs() {
    as "$1" "$1-test.log" "$(command_of test)" || bad=$?
    grep '^not ok\|skipped' "$log"
    tail -n 30 "$log"
    tail -n 1 "$log" | grep -x '[0-9]* passed, 0 failed' && return "${bad:-0}"
}
commands_found() { [ -n "$(command_of demo)" ] && [ -n "$(command_of test)" ]; }
says_what_to_do() { ! as someone without.log make deps && grep '^Installing packages needs root or sudo' "$log"; }
with_sudo() {
    system make git sudo && echo 'someone ALL=(ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/someone"
}

# both_run WHO: the commands, in the order of the README.
both_run() {
    for goal in $goals; do
        check "make deps $goal, as $1" "${goal}_runs" "$1"
        sed -n '$s/^/# /p' "$logs/$1-$goal.log"
    done
}

check "the README has the commands" commands_found
check "a system with make and git" system make git
check "a user without sudo is told what to do" says_what_to_do
both_run root
check "a system with make, git and sudo" with_sudo
both_run someone
done_testing
