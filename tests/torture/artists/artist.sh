# An escape artist as people write them without meaning to: the jobs of a shell, in the background and out of sight.
# usage: sh artist.sh NAME READY_FILE
trap '' HUP
nohup sleep 60 >/dev/null 2>&1 &
(trap '' TERM INT; setsid sleep 60 &)
(cd / && exec </dev/null >/dev/null 2>&1 && setsid sh -c 'trap "" TERM; sleep 60 & wait; sleep 1' &)
sh -c 'sleep 60 | sleep 60' &
: >"$2"
echo ready
wait
