# Functions for scripts that run tests in a minimal Debian root; tests/roots/run and tests/batch/trixie/run read this
# file, with `checkout`, `roots` and `files` set.
# shellcheck shell=bash

# Stop where a root cannot be built on this machine.
check_machine() {
    local name
    [ "$(id -u)" = 0 ] || { echo "$0: only root can build a root and enter it" >&2; exit 2; }
    for name in debootstrap unshare git; do
        command -v "$name" >/dev/null || { echo "$0: there is no $name on this machine" >&2; exit 2; }
    done
}

# Print the command of the README that stands under the comment NAME.
command_of() { sed -n "/^<!-- $1 -->\$/,/^\`\`\`\$/{/^    *\$/d;/^\`\`\`/d;/^<!--/d;p}" "$checkout/README.md"; }

# Build the root NAME of SUITE with these PACKAGES (commas between), or keep the one that is there; add the user "tester".
build() {
    local root=$roots/$1 suite=$2 packages=$3 file
    if [ ! -e "$root/.built" ]; then
        rm -rf --one-file-system "$root"
        debootstrap --variant=minbase --include="$packages" "$suite" "$root" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"} >"$root.log" 2>&1
        touch "$root/.built"
    fi
    for file in "${files[@]}"; do
        [ ! -e "$file" ] || install -D -m 644 "$file" "$root$file"
    done
    chroot "$root" id -u tester >/dev/null 2>&1 || chroot "$root" useradd --create-home tester
}

# Copy the files of the checkout into FOLDER of ROOT, for USER.
fill() {
    local root=$1 folder=$2 user=$3
    mkdir -p "$root$folder"
    git -C "$checkout" ls-files -z --cached --others --exclude-standard | (cd "$checkout" && tar --null -T - -c) | tar -x -C "$root$folder"
    chroot "$root" chown -R "$user:" "$folder"
}

# Set `given` to the variables of this shell that the tests get.
variables() {
    local variable
    given=(PYTHONDONTWRITEBYTECODE=)
    while IFS= read -r -d '' variable; do
        case $variable in PIP_* | PYTEST_ADDOPTS=*) given+=("$variable") ;; esac
    done < <(env -0)
}

# Run the rest of the words in ROOT as USER, after the script SETUP, which finds the root in $root and may mount more.
# The namespaces end with the shell that made them, so that no mount and no process is left.
enter() {
    local root=$1 user=$2 setup=$3
    shift 3
    # shellcheck disable=SC2016
    unshare --mount --pid --fork --kill-child --propagation private sh -ec '
        root=$1 user=$2 setup=$3 && shift 3
        mount --bind "$root" "$root"
        mount -t proc proc "$root/proc"
        mount --rbind /dev "$root/dev"
        mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
        eval "$setup"
        exec chroot "$root" setpriv --reuid="$user" --regid="$user" --init-groups --reset-env "$@"
    ' sh "$root" "$user" "$setup" "$@"
}
