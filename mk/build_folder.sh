# build_folder.sh: prints why a folder cannot be BUILD, or nothing. `make clean` removes the whole folder, so it must be
# one that this Makefile made: build and what is in it, or absent or empty before its first build, which leaves
# stamp_flags there.
if [ ! -d "$1" ]; then
    if [ -e "$1" ]; then echo "is no folder"; fi
    exit 0
fi
root=$(pwd -P)
folder=$(cd "$1" && pwd -P)
case $folder in "$root/build" | "$root/build"/*) exit 0 ;; esac
case $root/ in "${folder%/}"/*) echo "is or holds the source folder" && exit 0 ;; esac
if [ ! -e "$folder/stamp_flags" ] && [ -n "$(ls -A "$folder")" ]; then echo "has files that no build made"; fi
