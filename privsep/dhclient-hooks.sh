#!/bin/sh
# Sources dhclient's enter hooks, then its exit hooks, in one shell as dhclient-script does.
#
# Arguments: dhclient-enter-hooks, --, those of its directory, --, dhclient-exit-hooks, --, those of its
# directory, --; checked by netevd's runner. Variables are those of dhclient. What dhclient-script itself would do to the interface, the DHCP client has done.

exit_status=0

# What hooks replace or call; here nothing has to be made.
# shellcheck disable=SC2329
make_resolv_conf() { :; }
# shellcheck disable=SC2329
set_hostname() { :; }

run_hook() {
    # shellcheck disable=SC1090 # whatever the administrator has put there
    . "$1"
    netevd_code=$?
    if [ "$netevd_code" -ne 0 ]; then
        echo "$1 returned $netevd_code" >&2
        exit_status=$((exit_status | netevd_code))
    fi
}

# Sources the files of a list, one a line.
netevd_run_hooks() {
    set -f
    IFS='
'
    # shellcheck disable=SC2086 # a file a line
    set -- $1
    unset IFS
    set +f
    for netevd_hook in "$@"; do
        run_hook "$netevd_hook"
    done
}

# As in dhclient-script: the exit hooks see the status, and may change it.
exit_with_hooks() {
    exit_status=$1
    netevd_run_hooks "$netevd_exit"
    exit "$exit_status"
}

netevd_enter=
netevd_exit=
netevd_part=1
for netevd_word in "$@"; do
    case $netevd_part,$netevd_word in
    *,--) netevd_part=$((netevd_part + 1)) ;;
    [12],*) netevd_enter="$netevd_enter$netevd_word
" ;;
    *) netevd_exit="$netevd_exit$netevd_word
" ;;
    esac
done

netevd_run_hooks "$netevd_enter"
exit_with_hooks "$exit_status"
