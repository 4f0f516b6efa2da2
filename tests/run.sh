#!/bin/sh
# Runs the tests: those that measure time after the others, and alone.
#
#     PYTEST=.venv/bin/pytest sh tests/run.sh WORKERS [arguments of pytest]
#
# A whole file goes to one worker, so that a server a file starts is started once. pytest's status 5
# means that the arguments select no test: of one of the two kinds, but not of both.
pytest=${PYTEST:-pytest}
workers=${1:?as the first argument}
shift
"$pytest" -n "$workers" --dist loadfile -m "not timing" "$@"
others=$?
if [ $others -ne 0 ] && [ $others -ne 5 ]; then
    exit $others
fi
"$pytest" -m timing "$@"
timing=$?
if [ $timing -eq 5 ]; then
    exit $others
fi
exit $timing
