# Read by tests/packaging/inside: the image of the Containerfile, built on this root without any registry, and supervise
# as the first process of its containers.
# shellcheck shell=bash disable=SC2034,SC2154  # the variables are those of inside

apt() { apt-get -qq -o Dpkg::Use-Pty=0 --no-install-recommends "$@" >/dev/null; }

# The base image is this root as it is without podman.
tar -C / --one-file-system --exclude="./srv/*" --exclude="./tmp/*" --exclude="./root/*" --exclude=./var/cache --exclude=./var/lib/apt -cf ~/base.tar .
apt update
apt install podman buildah crun catatonit containers-storage golang-github-containers-common netavark
mkdir -p /etc/containers
cat >/etc/containers/storage.conf <<'END'
[storage]
driver = "vfs"
graphroot = "/tmp/podman/root"
runroot = "/tmp/podman/run"
END
# No cgroup, network or log of systemd's: this root has none to give.
cat >/etc/containers/containers.conf <<'END'
[containers]
cgroups = "disabled"
cgroupns = "host"
netns = "host"
ipcns = "private"
utsns = "private"
log_driver = "k8s-file"
seccomp_profile = "unconfined"
apparmor_profile = "unconfined"
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "crun"
END
echo '{"default":[{"type":"insecureAcceptAnything"}]}' >/etc/containers/policy.json

podman import -q ~/base.tar localhost/base
rm ~/base.tar
podman build -q --isolation chroot --layers=false --build-arg BASE=localhost/base -t supervise -f "$checkout/.github/packaging/Containerfile" "$checkout"
figures="$((($(podman image inspect -f '{{.Size}}' supervise) - $(podman image inspect -f '{{.Size}}' localhost/base)) / 1000)) KB more in the image"

container() { timeout -k 5 60 podman run --rm supervise "$@"; }
says 'Usage: supervise' container
expect 0 container -- sh -c 'tr "\0" "\n" </proc/1/cmdline | grep -q /usr/local/bin/supervise'
expect 7 container run -- sh -c 'exit 7'
expect 75 container -- sh -c 'exit 75'
expect 127 container -- missing
expect 124 container -t 1 -k 1 -- sh -c 'trap "" TERM; setsid sleep 77 & (setsid sh -c "trap \"\" TERM; sleep 78" &); sleep 79; sleep 79'
expect 123 container -i 1 -- sleep 60
says SYNOPSIS container man

# Orphans that end are children of the first process, or of its guardian: none stays a zombie.
# shellcheck disable=SC2016
expect 0 container -t 1m -- sh -c '
    for number in 1 2 3 4 5 6 7 8 9 10; do (setsid true &); done
    for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        grep -ql "^State:.Z" /proc/[0-9]*/status || exit 0
        sleep 0.5
    done
    exit 1'

# The end of a container by a signal: NUMBER of the code, then what sends it.
ends() {
    local code=$1
    shift
    podman run -d --name ended supervise -k 3 -- sh -c 'trap "" TERM; echo begun; sleep 60; sleep 60' >/dev/null
    for _ in {1..100}; do
        [ "$(podman logs ended 2>/dev/null)" != begun ] || break
        sleep 0.1
    done
    timeout -k 5 60 "$@" ended >/dev/null
    timeout -k 5 60 podman wait ended >/dev/null
    [ "$(podman inspect -f '{{.State.ExitCode}}' ended)" = "$code" ] || fail "$*: exit $(podman inspect -f '{{.State.ExitCode}}' ended)"
    says 'cancelled' sh -c 'podman logs ended 2>&1'
    podman rm ended >/dev/null
}
ends 143 podman stop -t 30
ends 130 podman kill -s INT
ends 129 podman kill -s HUP

podman rmi -f supervise localhost/base >/dev/null
left=$(podman ps -aq)
