#!/bin/sh
# dist.sh: writes the sources as archives with checksums, the same bits each time; see `make dist`.
#
# usage: sh mk/dist.sh VERSION FOLDER [xz]      archives of the present folder, by gzip, and by xz too
#
# In a git checkout the files are those of git, and their time is that of the last commit. An unpacked archive has the
# file MANIFEST instead, with that time and the names of the files, so it makes the same archives again.
# SOURCE_DATE_EPOCH sets another time.
set -eu
export LC_ALL=C
version=$1 folder=$2
name=autodiff-$version
manifest=MANIFEST
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

refuse() {
    printf 'make dist: %s\n' "$1" >&2
    exit 1
}

if [ -e .git ]; then
    git status --porcelain >"$work/changed" || refuse "git cannot read this checkout"
    if [ -s "$work/changed" ]; then
        refuse "$(head -n 1 "$work/changed" | cut -c 4-) is not as in the last commit; commit what has changed, or put \
it aside by git stash -u"
    fi
    time=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
    git -c core.quotePath=off ls-files >"$work/files"
elif [ -f $manifest ]; then
    time=${SOURCE_DATE_EPOCH:-$(sed -n 's/^time //p' $manifest)}
    sed -n 's/^file //p' $manifest >"$work/files"
else
    refuse "this folder is neither a git checkout nor an unpacked archive, which has the file MANIFEST"
fi
while read -r file; do
    [ -f "$file" ] || refuse "there is no $file"
done <"$work/files"

mkdir -p "$folder" "$work/$name"
{
    echo "# MANIFEST: the time and the files of $name, from which \`make dist\` makes the same archive again."
    echo "time $time"
    sort "$work/files" | sed 's/^/file /'
} >"$work/$name/$manifest"
tar -cf - -T "$work/files" | tar -xf - -C "$work/$name"

# The order, owners, modes and times of files do not depend on the machine; gzip writes no name and no time.
tar --sort=name --format=ustar --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX --mtime="@$time" \
    -C "$work" -cf "$work/tar" "$name"
write() { # SUFFIX COMMAND...: an archive, and its checksum as `sha256sum -c` reads it
    archive=$name.tar.$1
    shift
    "$@" <"$work/tar" >"$work/$archive"
    (cd "$work" && sha256sum "$archive" >"$archive.sha256")
    mv "$work/$archive" "$work/$archive.sha256" "$folder"
    cat "$folder/$archive.sha256"
}
write gz gzip -n -9
if [ "${3:-}" = xz ]; then write xz xz -T1 -6; fi
