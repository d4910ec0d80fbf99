#!/bin/sh
# Fetch the programs that the interoperability tests talk to. Only root on a Debian-like system can; elsewhere the
# tests that need them are skipped and say so. Under CI=true a peer that cannot be had is a failure.
set -u
packages="strongswan strongswan-swanctl strongswan-pki charon-systemd libcharon-extra-plugins \
libstrongswan-standard-plugins libstrongswan-extra-plugins user-mode-linux kmod iproute2 iputils-ping"

present() {
    [ -x /usr/lib/ipsec/charon ] && command -v swanctl >/dev/null &&
        [ -e /usr/lib/ipsec/plugins/libstrongswan-kernel-libipsec.so ] &&
        command -v linux.uml >/dev/null && [ -d /usr/lib/uml/modules ] && command -v ping >/dev/null
}

give_up() {
    echo "peers: $1" >&2
    [ "${CI:-}" = true ] && exit 1
    echo "peers: the tests against them will be skipped" >&2
    exit 0
}

present && exit 0
command -v apt-get >/dev/null || give_up "strongSwan or user-mode Linux is not installed, and this system has no apt-get"
[ "$(id -u)" = 0 ] || give_up "strongSwan or user-mode Linux is not installed, and only root can install it"

echo "peers: installing strongSwan and user-mode Linux"
# A package must not start a service of its own beside the tests (policy-rc.d says 101: not allowed).
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy
    trap 'rm -f $policy' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
{ apt-get -qq update && apt-get -qq install --no-install-recommends $packages; } >/tmp/caponier-peers.$$ 2>&1
present || { tail -20 /tmp/caponier-peers.$$ >&2; rm -f /tmp/caponier-peers.$$; give_up "they could not be installed"; }
rm -f /tmp/caponier-peers.$$
