# Read by tests/packaging/inside: the Debian package, built here, installed, checked and removed.
# shellcheck shell=bash disable=SC2034,SC2154  # the variables are those of inside

apt() { apt-get -qq -o Dpkg::Use-Pty=0 --no-install-recommends "$@" >/dev/null; }

# All files but those that each installation changes.
listing() { find / -xdev \( -path /proc -o -path /srv -o -path /root -o -path /run -o -path /var/cache -o -path /var/log -o -path /var/lib/apt -o -path /var/lib/dpkg \) -prune -o -print | sort; }

apt update
package=$(DEBEMAIL=tester@debian.org "$checkout/.github/packaging/build-deb" ~/deb | tail -n 1)
apt install lintian
# The package is not for the archive of Debian, whose first upload of a package closes a wish for it.
lintian --suppress-tags initial-upload-closes-no-bugs --fail-on error,warning "$package" || fail lintian
# With the packages that show the manual and the completions; Debian's own libraries must not be taken for ours.
apt install man-db bash-completion python3-rich python3-click python3-trio
# Small images leave the manual out.
rm -f /etc/dpkg/dpkg.cfg.d/docker
listing >~/before
apt install "$package"
[ "$(command -v supervise)" -ef /usr/bin/supervise ] || fail "another supervise"
figures="$(du -k "$package" | cut -f1) KB, $(dpkg-query -W -f '${Installed-Size}' supervise-cli) KB installed, $(size /usr/lib/supervise) KB with bytecode"
check
says SYNOPSIS man supervise
says 'supervise ps' man supervise-ps
says _supervise bash -ic '. /usr/share/bash-completion/bash_completion; _completion_loader supervise; complete -p supervise' 2>/dev/null
# An ordinary user finds bytecode that is up to date.
find /usr/lib/supervise/supervise/__pycache__ -name '__main__.*.pyc' | grep -q . || fail "no bytecode"
# Variables that are meant for the command change nothing in supervise.
expect 3 env PYTHONPATH=/nonexistent PYTHONWARNINGS=error supervise -t 1m -- sh -c 'sleep 0.2; exit 3'
dpkg --verify supervise-cli | grep . && fail "files differ from the package's"
apt purge supervise-cli
rm -rf ~/.local ~/.config /tmp/*
listing >~/after
left=$(diff ~/before ~/after || :)
