#!/bin/sh
# in-temp.sh COMMAND... : runs a test with a temporary folder of its own, which goes when the test ends,
# also when it crashed or its time was over. `meson test` puts it before every test.
folder=$(mktemp -d -t weir-test-XXXXXX) || exit 99
trap 'rm -rf "$folder"' EXIT
trap 'exit 143' HUP INT TERM
TMPDIR=$folder "$@"
status=$?
left=$(ls -A "$folder")
[ -z "$left" ] || echo "in-temp.sh: left behind and removed:" $left >&2
exit $status
