#!/bin/sh
# readme.sh: runs the two commands of the README's section Build in fresh systems that have nothing but make and git: as
# root, as a user with sudo, and as one without. Prints TAP. It needs root and a mirror of Debian; see `make readme-test`.
#
# usage: tests/packages/readme.sh SUITE       MAKEFLAGS=-j2 lets make run two commands at once
set -u
suite=$1
. tests/packages/chroot
needs debootstrap git unshare
root=$chroots/$suite-readme
logs=$chroots/$suite-readme-logs
rm -rf "$logs"
mkdir -p "$logs"
trap 'rm -rf "$work"; rm -rf --one-file-system "$root"' EXIT
trap 'exit 1' INT TERM
demo=$(sed -n 's/^    \(make deps demo\) .*/\1/p' README.md)
test=$(sed -n 's/^    \(make deps test\) .*/\1/p' README.md)

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
demos_run() {
    as "$1" "$1-demo.log" "$demo" || { tail -n 30 "$log" && return 1; }
    [ "$(grep -c '^== build/demos/' "$log")" -ge 8 ]
}
tests_pass() {
    as "$1" "$1-test.log" "$test" || bad=$?
    grep '^not ok\|skipped' "$log"
    tail -n 30 "$log"
    tail -n 1 "$log" | grep -x '[0-9]* passed, 0 failed' && return "${bad:-0}"
}
says_what_to_do() { ! as someone without.log "$demo" && grep '^Installing packages needs root or sudo' "$log"; }

commands_found() { [ "$demo" = 'make deps demo' ] && [ "$test" = 'make deps test' ]; }
with_sudo() {
    system make git sudo && echo 'someone ALL=(ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/someone"
}

check "the README has the commands" commands_found
check "a system with make and git" system make git
check "a user without sudo is told what to do" says_what_to_do
check "$demo, as root" demos_run root
check "$test, as root" tests_pass root
sed -n '$s/^/# /p' "$logs/root-test.log"
check "a system with make, git and sudo" with_sudo
check "$demo, as a user" demos_run someone
check "$test, as a user" tests_pass someone
sed -n '$s/^/# /p' "$logs/someone-test.log"
done_testing
