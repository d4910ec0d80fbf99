#!/bin/sh
# Fetch what "make bench" compares with and measures by. Whatever cannot be had is left out of the tables, which say so.
set -u
tests/interop/install-peers.sh || exit 1
packages="iperf3 ethtool iputils-ping openvpn wireguard-go wireguard-tools"
for program in iperf3 ethtool ping openvpn wireguard-go wg; do
    command -v "$program" >/dev/null || missing=yes
done
[ "${missing:-no}" = yes ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "bench: some of these are missing, and only root on a Debian-like system can fetch them: $packages" >&2
    exit 1
fi
echo "bench: installing $packages"
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy
    trap 'rm -f $policy' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update && apt-get -qq install --no-install-recommends $packages >/dev/null
