#!/bin/sh
# alone.sh: compiles and runs what the demos control and tiny write: C files without the library, here and for a Cortex-M
# under qemu. Prints TAP.
set -u
demos=${BUILD:-build}/demos
cc=${CC:-cc}
strict='-std=c99 -pedantic -Wall -Wextra -Werror'
. tests/cases

# The exit status says whether the pendulum was swung up.
control_alone() {
    # shellcheck disable=SC2086 # a list of options
    mkdir -p "$work/control" && "$demos/control" --time 1 --export "$work/control/cost.c" >/dev/null &&
        $cc $strict -O2 -I"$work/control" -I. demos/alone/control.c "$work/control/cost.c" -lm -o "$work/control/alone" &&
        "$work/control/alone"
}

writes_tiny() { mkdir -p "$work/tiny" && "$demos/tiny" --export "$work/tiny"; }

# The file passes its own test, and the program recognises the digits.
tiny_alone() {
    # shellcheck disable=SC2086 # a list of options
    $cc $strict -O1 -DNET_TEST "$work/tiny/net.c" -lm -o "$work/tiny/test" && "$work/tiny/test" &&
        $cc $strict -O2 -I"$work/tiny" demos/alone/tiny.c "$work/tiny/net.c" -lm -o "$work/tiny/alone" &&
        "$work/tiny/alone"
}

cortex='-mcpu=cortex-m4 -mthumb -mfloat-abi=hard -mfpu=fpv4-sp-d16 -Os -ffunction-sections -fdata-sections'

# 1,810 parameters are 7,240 bytes; code and tables take less than 1,000 more. There are no variables.
tiny_on_cortex() {
    # shellcheck disable=SC2086
    arm-none-eabi-gcc $strict $cortex -c "$work/tiny/net.c" -o "$work/tiny/net.o" || return 1
    arm-none-eabi-size "$work/tiny/net.o"
    arm-none-eabi-size "$work/tiny/net.o" | awk 'NR == 2 { small = $1 < 8240 && $2 + $3 == 0 }  END { exit !small }' || return 1
    # shellcheck disable=SC2086
    arm-none-eabi-gcc $cortex -Wall -I"$work/tiny" --specs=rdimon.specs -Wl,--gc-sections -T demos/alone/cortex-m.ld \
        demos/alone/cortex-m.c demos/alone/tiny.c "$work/tiny/net.o" -lm -o "$work/tiny/board" &&
        timeout 120 qemu-system-arm -M mps2-an386 -semihosting -nographic -kernel "$work/tiny/board"
}

if [ -n "${TEST_UNDER:-}" ]; then
    skip 'exported files run alone' 'the compiler makes code for another processor'
else
    check 'control swings up the pendulum alone' control_alone
    check 'tiny writes a network' writes_tiny
    check 'tiny runs alone' tiny_alone
    if command -v arm-none-eabi-gcc >/dev/null && command -v qemu-system-arm >/dev/null; then
        check 'tiny runs on a Cortex-M4' tiny_on_cortex
    else
        skip 'tiny runs on a Cortex-M4' 'arm-none-eabi-gcc or qemu-system-arm is missing'
    fi
fi
done_testing
